# What a developer needs, and how to install. Everything that is made lies under build/ and .venv/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_FILES := $(shell find proto/releasephase -name '*.proto')
BUILD := build

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(VENV)/.installed: pyproject.toml constraints.txt scripts/dev-requirements
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	scripts/dev-requirements | $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r /dev/stdin
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation --editable .
	touch $@

.PHONY: venv
venv: $(VENV)/.installed ## Make the virtual environment with exact versions

# $(call generate,OUT): writes the Python stubs of the contract below OUT.
define generate
$(BIN)/python -m grpc_tools.protoc -I proto \
	--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTO_FILES)
endef

.PHONY: proto
proto: venv ## Regenerate the stubs beside the .proto files
	$(call generate,proto)

.PHONY: contract-baseline
contract-baseline: venv ## Accept the contract as it is now as what must not be broken
	$(BIN)/buf build --exclude-source-info --output proto/baseline.binpb

.PHONY: check
check: venv ## Everything that can be said without an engine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against proto/baseline.binpb
	rm -rf $(BUILD)/stubs && mkdir -p $(BUILD)/stubs
	$(call generate,$(BUILD)/stubs)
	for stub in $$(cd $(BUILD)/stubs && find . -type f); do diff -u proto/$$stub $(BUILD)/stubs/$$stub || exit 1; done

.PHONY: test
test: venv ## Set up an engine and a registry, then run all tests
	scripts/with-engine $(BIN)/python -m pytest $(ARGS)

.PHONY: demo
demo: venv ## See it work: releases on a real engine, history, details
	scripts/with-engine scripts/demo

.PHONY: bench
bench: venv ## Measure beside the bare engine and what else people use; writes bench/results.md
	scripts/with-engine $(BIN)/python -m bench $(ARGS)

.PHONY: storm
storm: venv ## Kill the daemon 200 times while releases run, and count what is lost
	scripts/with-engine $(BIN)/python scripts/storm $(ARGS)

# Where to install: PREFIX is where everything will be, DESTDIR a folder that stands for the root of the file system.
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: install uninstall
install: ## Install the daemon, the client and the units below PREFIX (/usr/local)
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PYTHON='$(PYTHON)' scripts/installation install

uninstall: ## Undo that; the daemon's state and a changed configuration stay
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PYTHON='$(PYTHON)' scripts/installation uninstall

.PHONY: clean
clean: ## Remove what was made
	rm -rf $(BUILD) $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
