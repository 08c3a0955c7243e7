"""The benchmark, `make bench`: the product beside the bare engine and its peers, in one run."""

import sys
from pathlib import Path

# What surrounds the product (the daemon in a process of its own, tiny images) is shared with the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
