"""`[policy]` in the configuration file: what it may say, and how a mistake is named."""

import re
from pathlib import Path

import pytest

from released.config import MountRule, PolicyTable, load
from released.config.policy import BUILT_IN
from released.errors import ConfigError

TABLE = '[policy."a/b"]\n'

EVERY_KEY = """
[policy.default]
images = ["registry.example/**", "sha256:*"]

[policy."shop/*"]
images = ["registry.example/shop/*:v*"]
digest_required = true
networks = ["shop-*", ""]
mounts = [
    { source = "/srv/shop/media", target = "/media", read_only = false },
    { source = "shop-data", target = "/data" },
]
users = ["1000", ""]
root_allowed = false
environment_names = ["SHOP_*"]
like_containers = ["shop-web-*"]
max_memory = 2147483648
default_memory = 536870912
max_cpus = 2
default_cpus = 0.5
max_pids = 512
default_pids = 128
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_every_key_can_be_set(file: Path) -> None:
    """For all targets, and for those of a pattern."""
    file.write_text(EVERY_KEY)
    assert load(file).policy == {
        "default": PolicyTable(images=("registry.example/**", "sha256:*")),
        "shop/*": PolicyTable(
            images=("registry.example/shop/*:v*",),
            digest_required=True,
            networks=("shop-*", ""),
            mounts=(MountRule("/srv/shop/media", "/media", False), MountRule("shop-data", "/data", True)),
            users=("1000", ""),
            root_allowed=False,
            environment_names=("SHOP_*",),
            like_containers=("shop-web-*",),
            max_memory=2**31,
            default_memory=2**29,
            max_cpus=2.0,
            default_cpus=0.5,
            max_pids=512,
            default_pids=128,
        ),
    }


def test_example_above_has_every_key() -> None:
    """So that the test before this one is what it says."""
    assert set(re.findall(r"^(\w+) =", EVERY_KEY, re.MULTILINE)) == set(PolicyTable.__struct_fields__)


def test_table_leaves_the_rest_to_the_one_below() -> None:
    """Also where it says no."""
    table = PolicyTable(root_allowed=False, mounts=()).on_top_of(
        PolicyTable(users=("app",)).on_top_of(BUILT_IN)
    )
    assert (table.root_allowed, table.mounts, table.users) == (False, (), ("app",))
    assert (table.images, table.max_pids, table.max_memory) == (("**",), 4096, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('\n[policy."shop/*"]\nimage = []', '3: [policy] "shop/*".image: there is no such key'),
        ('[policy."shop/*"]\nimages = 5', '2: [policy] "shop/*".images: Expected `array | null`, got `int`'),
        (TABLE + "\nimages = [\n1]", '3: [policy] "a/b".images[0]: Expected `str`, got `int`'),
        (TABLE + 'images = [""]', '2: [policy] "a/b".images[0]: Expected `str` of length >= 1'),
        ("[policy]\nimages = []", "2: [policy] images: keys belong into [policy.default], or into a table"),
        ("policy = 5", "1: [policy]: Expected `object`, got `int`"),
        ("[policy.shop]", "1: [policy] shop: 'shop' is no deployment target"),
        ('[policy."Shop/live"]', "1: [policy] \"Shop/live\": 'Shop/live' is no deployment target"),
        ('[policy."shop/**/x"]', "1: [policy] \"shop/**/x\": 'shop/**/x' is no deployment target"),
        (
            '[policy."shop/*"]\n[policy."*/live"]',
            '2: [policy] "*/live": it overlaps with [policy."shop/*"]',
        ),
        (
            TABLE + 'mounts=[{source="/a"}]',
            '2: [policy] "a/b".mounts[0]: Object missing required field',
        ),
        (TABLE + 'mounts=[{source="/a",target="b"}]', "mounts[0].target: 'b' is no absolute path"),
        (
            TABLE + 'mounts=[{source="a/b",target="/b"}]',
            "mounts[0].source: 'a/b' is no absolute path",
        ),
        (
            TABLE + 'mounts=[{source="/a/../b",target="/b"}]',
            "'/a/../b' is no absolute path without '.'",
        ),
        (
            TABLE + 'mounts=[{source="/a/",target="/b"}]',
            "'/a/' is no absolute path without '.', '..' and",
        ),
        (TABLE + 'mounts=[{source="**",target="/b"}]', "'**' is no absolute path"),
        (TABLE + 'images = ["shop"]', "'shop' has no registry: write it out, without wildcards"),
        (TABLE + 'images = ["*"]', "'*' has no registry: write it out"),
        (TABLE + 'images = ["*/shop"]', "'*/shop' has no registry: write it out"),
        (TABLE + 'images = ["*.example/shop"]', "'*.example/shop' has no registry: write it out"),
        (
            TABLE + 'images = ["docker.io/shop:v*"]',
            "'docker.io/shop:v*' matches no image: write it as docker.io/library/shop:v*",
        ),
        (
            TABLE + 'images = ["index.docker.io/library/x"]',
            "'index.docker.io/library/x' matches no image: write it as docker.io/library/x",
        ),
        (
            TABLE + 'images = ["index.docker.io/acme/*"]',
            "'index.docker.io/acme/*' matches no image: write it as docker.io/acme/*",
        ),
        (
            TABLE + 'images = ["docker.io/*"]',
            "'docker.io/*' matches no image: write it as docker.io/library/*",
        ),
        (TABLE + 'images = ["index.docker.io/**"]', "matches no image: write it as docker.io/**, as"),
        (TABLE + 'like_containers = [""]', "like_containers[0]: Expected `str` of length >= 1"),
        (TABLE + "max_memory = 1024", "max_memory: Expected `int` >= 6291456"),
        (TABLE + "max_pids = 1", "max_pids: Expected `int` >= 2"),
        (TABLE + "max_cpus = 0", "max_cpus: Expected `float` >= 0.001"),
        (TABLE + "max_cpus = inf", "max_cpus: Expected `float` <= 100000"),
        (
            TABLE + "max_pids = 9\ndefault_pids = 10",
            '3: [policy] "a/b".default_pids: 10 is more than max',
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file: Path, content: str, message: str) -> None:
    """A policy that does not say what it seems to say is none."""
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}, line ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        *("**", "sha256:*", "docker.io/**", "docker.io/*/*", "docker.io/library/shop", "docker.io/shop**"),
        *("localhost/shop", "Registry/shop", "[::1]:5000/*", "registry:5000/shop:v*@sha256:*"),
    ],
)
def test_pattern_of_images_that_can_match(file: Path, pattern: str) -> None:
    """Its registry is one as Docker reads it."""
    file.write_text(f'[policy.default]\nimages = ["{pattern}"]')
    assert load(file).policy["default"].images == (pattern,)
