"""What a named volume stands for on the host."""

import pytest

from released.engine.host import Volume
from released.policy.host_paths import Refused
from released.policy.volumes import bound_path


@pytest.mark.parametrize(
    ("driver", "options", "path"),
    [
        ("local", {}, ""),
        ("local", {"size": "1G"}, ""),
        ("local", {"type": "none", "o": "bind", "device": "/srv/data"}, "/srv/data"),
        ("local", {"type": "none", "o": "ro,rbind", "device": "/srv/data"}, "/srv/data"),
        ("local", {"type": "bind", "device": "/srv/data"}, "/srv/data"),
        ("local", {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/export"}, ""),
        ("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=100m"}, ""),
        ("plugin", {"type": "ext4", "device": "/dev/sda1"}, ""),
    ],
    ids=str,
)
def test_path_that_is_bound(driver: str, options: dict[str, str], path: str) -> None:
    """Only the engine's own driver takes mount options; what another one does is its operator's business."""
    assert bound_path(Volume(driver, options)) == path


@pytest.mark.parametrize(
    "options",
    [
        {"type": "ext4", "device": "/dev/sda1"},
        {"device": "/dev/sda1"},
        {"type": "overlay", "o": "lowerdir=/etc", "device": "overlay"},
        {"type": "none", "o": "bind", "device": "srv"},
        {"o": "bind"},
        {"type": "nfs", "o": "bind", "device": "relative"},
    ],
    ids=str,
)
def test_what_cannot_be_told_is_refused(options: dict[str, str]) -> None:
    """It might be anything of the host."""
    with pytest.raises(Refused, match="the volume "):
        bound_path(Volume("local", options))
