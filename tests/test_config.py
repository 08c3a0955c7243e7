"""The configuration file: every key has a default, and whatever is wrong is named."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from released.config import (
    DEFAULT_PATH,
    AuditConfig,
    Config,
    EngineConfig,
    Keep,
    MetricsConfig,
    RegistryConfig,
    ReleasesConfig,
    SecretsConfig,
    ServerConfig,
    load,
    loading,
)
from released.errors import ConfigError

EVERY_KEY = """
[server]
socket = "/tmp/r.sock"
max_connections_per_user = 9

[engine]
url = "tcp://127.0.0.1:2375"
log_driver = "json-file"
control_timeout = 5
patience = 6

[audit]
path = "/srv/audit.db"
output_cap = 1024
reserve = 1048576
keep_output = { days = 90, bytes = 1000 }
keep_events = { days = 730.5 }

[releases]
max_concurrent = 3
max_queued = 4
command_timeout = 60.5
stop_grace = 0
start_timeout = 7
pull_timeout = 8
queue_timeout = 9
read_procfile = true
orphan_grace = 10

[metrics]
path = "/srv/released.prom"
interval = 11

[registry]
config = "REGISTRY_CONFIG"

[secrets]
names = ["*PIN*"]

[lock_groups]
orders-db = ["shop/*", "group:stock"]
stock = ["stock/live"]
"""


@pytest.fixture(autouse=True)
def no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_defaults(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Those of the README; the default file may be missing."""
    monkeypatch.setattr(loading, "DEFAULT_PATH", file)
    config = load(None)
    assert config == Config(
        server=ServerConfig(socket=Path("/run/released/released.sock"), max_connections_per_user=200),
        engine=EngineConfig(url="", log_driver="local", control_timeout=60.0, patience=120.0),
        audit=AuditConfig(
            path=Path("/var/lib/released/audit.db"),
            output_cap=256 * 2**20,
            reserve=16 * 2**20,
            keep_output=Keep(days=None, bytes=None),
            keep_events=Keep(days=None, bytes=None),
        ),
        releases=ReleasesConfig(
            max_concurrent=16,
            max_queued=20,
            command_timeout=1800.0,
            stop_grace=10.0,
            start_timeout=300.0,
            pull_timeout=1800.0,
            queue_timeout=86400.0,
            read_procfile=False,
            orphan_grace=60.0,
        ),
        metrics=MetricsConfig(path=None, interval=15.0),
    )
    assert config.releases.default_command_timeout == timedelta(minutes=30)
    assert str(DEFAULT_PATH) == "/etc/released/config.toml"


def test_empty_file_stands_for_the_defaults(file: Path) -> None:
    """Every key has one."""
    file.touch()
    assert load(file) == Config()


def test_every_key_can_be_set(file: Path) -> None:
    """Whole numbers will do for durations."""
    registry = file.with_name("docker.json")
    registry.touch(0o600)
    registry.write_text("{}")
    file.write_text(EVERY_KEY.replace("REGISTRY_CONFIG", str(registry)))
    assert load(file) == Config(
        server=ServerConfig(socket=Path("/tmp/r.sock"), max_connections_per_user=9),
        engine=EngineConfig(
            url="tcp://127.0.0.1:2375", log_driver="json-file", control_timeout=5, patience=6
        ),
        audit=AuditConfig(
            path=Path("/srv/audit.db"),
            output_cap=1024,
            reserve=2**20,
            keep_output=Keep(days=90, bytes=1000),
            keep_events=Keep(days=730.5),
        ),
        releases=ReleasesConfig(
            max_concurrent=3,
            max_queued=4,
            command_timeout=60.5,
            stop_grace=0,
            start_timeout=7,
            pull_timeout=8,
            queue_timeout=9,
            read_procfile=True,
            orphan_grace=10,
        ),
        metrics=MetricsConfig(path=Path("/srv/released.prom"), interval=11),
        registry=RegistryConfig(config=registry),
        secrets=SecretsConfig(names=("*PIN*",)),
        lock_groups={"orders-db": ("shop/*", "group:stock"), "stock": ("stock/live",)},
    )


def test_example_above_has_every_key() -> None:
    """So that the test before this one is what it says."""
    sections = [
        ServerConfig,
        EngineConfig,
        AuditConfig,
        ReleasesConfig,
        MetricsConfig,
        RegistryConfig,
        SecretsConfig,
    ]
    keys = {key for section in sections for key in section.__struct_fields__}
    keys |= {"orders-db", "stock"}
    assert keys == set(re.findall(r"^([\w-]+) =", EVERY_KEY, re.MULTILINE))


def test_default_file_is_read_if_it_exists(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Without being asked for."""
    monkeypatch.setattr(loading, "DEFAULT_PATH", file)
    file.write_text("[releases]\nmax_concurrent = 2\n")
    assert load(None).releases.max_concurrent == 2


@pytest.mark.parametrize(
    ("content", "key"),
    [
        pytest.param(
            "[server]\nsockets = '/a'", r"line 2: \[server\] sockets: there is no such key", id="unknown key"
        ),
        pytest.param(
            "[servers]\nsocket = '/a'", r"line 1: \[servers\]: there is no such key", id="unknown section"
        ),
        pytest.param("server = 5", r"line 1: \[server\]: Expected", id="no section"),
        pytest.param("[server]\nsocket = 5", r"line 2: \[server\] socket: ", id="a number for a path"),
        pytest.param('[audit]\npath = "/a\\u0000b"', r"line 2: \[audit\] path: ", id="a NUL in a path"),
        pytest.param("[engine]\nurl = 5", r"line 2: \[engine\] url: ", id="a number for a text"),
        pytest.param(
            "[engine]\ncontrol_timeout = 0", r"line 2: \[engine\] control_timeout: ", id="no time at all"
        ),
        pytest.param("[audit]\noutput_cap = 0", r"line 2: \[audit\] output_cap: ", id="a cap of nothing"),
        pytest.param(
            "[audit]\nreserve = 1048575", r"line 2: \[audit\] reserve: ", id="a reserve that is no use"
        ),
        pytest.param(
            "[audit]\nkeep_output = { days = 0 }",
            r"line 2: \[audit\] keep_output.days: ",
            id="kept for no time",
        ),
        pytest.param(
            "[audit]\nkeep_events = { days = inf }",
            r"line 2: \[audit\] keep_events.days: ",
            id="kept for ever",
        ),
        pytest.param(
            "[audit]\nkeep_output = { bytes = -1 }",
            r"line 2: \[audit\] keep_output.bytes: ",
            id="nothing kept",
        ),
        pytest.param(
            "[audit]\nkeep_events = { years = 2 }",
            r"line 2: \[audit\] keep_events.years: there is no such key",
            id="a limit that is not known",
        ),
        pytest.param("[audit]\nkeep_output = 90", r"line 2: \[audit\] keep_output: ", id="a limit of what"),
        pytest.param(
            "[audit]\nkeep_output = { days = 91 }\nkeep_events = { days = 90 }",
            r"line 2: \[audit\] keep_output.days: it is more than keep_events.days, .*: use 90.0 at most",
            id="output for longer than its events",
        ),
        pytest.param(
            "[audit.keep_events]\nbytes = 10\n[audit.keep_output]\ndays = 1\nbytes = 11",
            r"line 5: \[audit\] keep_output.bytes: it is more than keep_events.bytes",
            id="more output than all together",
        ),
        pytest.param("[audit]\noutput_cap = 1.5", r"line 2: \[audit\] output_cap: ", id="half a byte"),
        pytest.param(
            "[releases]\nmax_concurrent = 0", r"line 2: \[releases\] max_concurrent: ", id="none at once"
        ),
        pytest.param(
            "[releases]\nmax_concurrent = '4'",
            r"line 2: \[releases\] max_concurrent: ",
            id="a text for a number",
        ),
        pytest.param(
            "[releases]\nmax_concurrent = true",
            r"line 2: \[releases\] max_concurrent: ",
            id="a truth for a number",
        ),
        pytest.param(
            "[releases]\ncommand_timeout = -1",
            r"line 2: \[releases\] command_timeout: ",
            id="a negative time",
        ),
        pytest.param(
            "[releases]\ncommand_timeout = inf", r"line 2: \[releases\] command_timeout: ", id="for ever"
        ),
        pytest.param(
            "[releases]\nqueue_timeout = nan", r"line 2: \[releases\] queue_timeout: ", id="not a number"
        ),
        pytest.param(
            "[releases]\nstop_grace = -0.1", r"line 2: \[releases\] stop_grace: ", id="a negative grace"
        ),
        pytest.param(
            "[releases]\nstop_grace = inf", r"line 2: \[releases\] stop_grace: ", id="grace for ever"
        ),
        pytest.param("[server\n", r"line 1", id="no TOML"),
        pytest.param("[audit]\npath='/a'\npath='/b'", r"Cannot overwrite", id="a key twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(file: Path, content: str, key: str) -> None:
    """The message has the file and the key."""
    file.write_text(content)
    with pytest.raises(ConfigError, match=rf"^(the configuration file )?{file}.*{key}"):
        load(file)


def test_limits_of_different_kinds_are_not_compared(file: Path) -> None:
    """Whichever is reached first counts."""
    file.write_text("[audit]\nkeep_output = { days = 900 }\nkeep_events = { bytes = 10 }")
    audit = load(file).audit
    assert (audit.keep_output.age, audit.keep_events.age) == (timedelta(days=900), None)


def test_file_that_is_no_text(file: Path) -> None:
    """Somebody gave the wrong file."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=rf"{file} can't be used"):
        load(file)


def test_file_that_is_asked_for_must_exist(file: Path) -> None:
    """A typing error in the unit does not make a daemon with defaults."""
    with pytest.raises(ConfigError, match=rf"the configuration file {file} does not exist"):
        load(file)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The system says why."""
    with pytest.raises(ConfigError, match=rf"{tmp_path} can't be used: .*Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "key", "path"),
    [
        ("[server]\nsocket = 'r.sock'", "[server] socket", "r.sock"),
        ("[audit]\npath = 'state/audit.db'", "[audit] path", "state/audit.db"),
        ("[registry]\nconfig = 'config.json'", "[registry] config", "config.json"),
        ("[metrics]\npath = 'r.prom'", "[metrics] path", "r.prom"),
    ],
)
def test_relative_path_is_refused(file: Path, content: str, key: str, path: str) -> None:
    """It would mean another file in every folder."""
    file.write_text(content)
    with pytest.raises(
        ConfigError, match=re.escape(f"{file}, line 2: {key}: it is {path!r}: use an absolute path")
    ):
        load(file)


def test_file_of_metrics_that_nobody_would_read_is_refused(file: Path) -> None:
    """node_exporter passes over everything else in its folder."""
    file.write_text("[metrics]\npath = '/srv/released.txt'")
    with pytest.raises(
        ConfigError,
        match=re.escape(f"{file}, line 2: [metrics] path: it is '/srv/released.txt': node_exporter"),
    ):
        load(file)


@pytest.mark.parametrize("character", ["s", "ö"])
def test_both_socket_paths_have_107_bytes_at_most(file: Path, character: str) -> None:
    """The system's limit, unix(7), in bytes; gRPC's own socket has the longer path."""
    added = len(".inner/grpc.sock")
    size = len(character.encode())
    longest = "/" + character * ((106 - added) // size)
    file.write_text(f"[server]\nsocket = '{longest}'")
    config = load(file).server
    assert (config.socket, config.inner_socket) == (Path(longest), Path(f"{longest}.inner/grpc.sock"))
    file.write_text(f"[server]\nsocket = '{longest}{character}'")
    with pytest.raises(
        ConfigError, match=re.escape(f"{file}, line 2: [server] socket: it is {size} bytes too long")
    ):
        load(file)


def test_engine_is_what_the_file_says_then_docker_host_then_dockers_socket(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order."""
    file.write_text("")
    assert load(file).engine_url == "unix:///run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    assert load(file).engine_url == "tcp://10.0.0.1:2375"
    file.write_text("[engine]\nurl = 'unix:///srv/engine.sock'")
    assert load(file).engine_url == "unix:///srv/engine.sock"


@pytest.mark.parametrize(
    "url", ["ssh://host", "http://127.0.0.1:2375", "/run/docker.sock", "unix://run/docker.sock"]
)
def test_engine_that_cannot_be_reached_so_is_refused(
    file: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the address comes from."""
    message = re.escape(f": [engine] url: it (or DOCKER_HOST) is {url!r}: use unix:///path")
    file.write_text(f"[engine]\nurl = '{url}'")
    with pytest.raises(ConfigError, match=rf"{file}, line 2{message}"):
        load(file)
    file.write_text("")
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(ConfigError, match=f"{file}{message}"):
        load(file)
