"""`[lock_groups]`: which groups a deployment target is in, and what is no group."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.config import load
from released.config.keys import BadKey
from released.config.lock_groups import LockGroups
from released.errors import ConfigError
from released.model.patterns import TargetPattern
from released.model.release import Target

TABLE = """
[lock_groups]
orders-db = ["shop/live", "stock-*/live"]
shared = ["*/test"]
everything = ["group:shared", "group:orders-db", "wiki/live"]
spare = []
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_target_is_in_each_group_that_names_it_or_takes_in_one_that_does(file: Path) -> None:
    """In the order of the file."""
    file.write_text(TABLE)
    groups = load(file).groups
    targets = [("shop", "live"), ("stock-eu", "live"), ("shop", "test"), ("wiki", "live"), ("blog", "live")]
    assert [groups.of(Target(*target)) for target in targets] == [
        ("orders-db", "everything"),
        ("orders-db", "everything"),
        ("shared", "everything"),
        ("everything",),
        (),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            '"Orders DB" = []',
            "line 2: [lock_groups] \"Orders DB\": 'Orders DB' can't be a group's name: use lower",
            id="a name that is no slug",
        ),
        pytest.param("'' = []", "line 2: [lock_groups] \"\": '' can't be a group's name", id="no name"),
        pytest.param(
            'a = ["shop/live", "shop"]',
            "line 2: [lock_groups] a[1]: 'shop' is no deployment target: use application/environment, such "
            "as shop/*, or group:NAME for all of another group",
            id="a pattern that is none",
        ),
        pytest.param('a = [""]', "line 2: [lock_groups] a[0]: '' is no deployment target", id="no pattern"),
        pytest.param(
            'a = []\nb = ["group:a", "group:c"]',
            "line 3: [lock_groups] b[1]: there is no group 'c' in [lock_groups]: add it, or correct the name",
            id="a group that is not there",
        ),
        pytest.param(
            'a = ["group:"]', "line 2: [lock_groups] a[0]: there is no group ''", id="a group of no name"
        ),
        pytest.param(
            'a = ["group:a"]',
            "line 2: [lock_groups] a: groups go round in a circle: a takes in a: take one of these out",
            id="a group that takes in itself",
        ),
        pytest.param(
            'z = ["group:d"]\nc = ["group:a"]\na = ["x/y", "group:b"]\nb = ["group:c"]\nd = ["group:b"]',
            "line 3: [lock_groups] c: groups go round in a circle: c takes in a takes in b takes in c",
            id="groups that take in each other",
        ),
        pytest.param('a = "shop/*"', "line 2: [lock_groups] a: Expected `array`, got `str`", id="a text"),
        pytest.param(
            'a = []\nb = ["x/y", 5]', "line 3: [lock_groups] b[1]: Expected `str`, got `int`", id="a number"
        ),
        pytest.param("a.b = []", "line 2: [lock_groups] a: Expected `array`", id="a table"),
    ],
)
def test_what_is_no_group_is_named_with_file_line_and_key(file: Path, content: str, message: str) -> None:
    """Of a circle, all groups are named, from the one that comes first in the file."""
    file.write_text(f"[lock_groups]\n{content}\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{file}, {message}')}"):
        load(file)


def test_table_that_is_none_is_named(file: Path) -> None:
    """Like any other."""
    file.write_text('lock_groups = ["shop/*"]\n')
    with pytest.raises(ConfigError, match=r"line 1: \[lock_groups\]: Expected"):
        load(file)


def test_groups_may_take_in_each_other_to_any_depth() -> None:
    """Far beyond what a recursion could follow; a circle of that many is found, too."""
    table = {"g0": ("shop/*",), **{f"g{n}": (f"group:g{n - 1}",) for n in range(1, 5000)}}
    assert LockGroups(table).of(Target("shop", "live")) == tuple(table)
    with pytest.raises(BadKey, match="g0 takes in g4999 takes in g4998 "):
        LockGroups({**table, "g0": ("group:g4999",)})


NAMES = "abcde"
TARGETS = [
    Target(application, environment) for application in ("shop", "blog") for environment in ("live", "test")
]
MEMBERS = [*(f"group:{name}" for name in NAMES), *map(str, TARGETS), "shop/*", "*/live", "*/*"]

tables = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(MEMBERS), max_size=3), max_size=5)


@given(table=tables)
def test_groups_are_what_following_them_gives_or_there_is_a_circle_or_a_gap(
    table: dict[str, list[str]],
) -> None:
    """Against the simplest way to say it: every group that can be reached, and the targets of all those."""
    taken_in = {
        name: {each[6:] for each in members if each.startswith("group:")} for name, members in table.items()
    }
    reached = {name: set(groups) for name, groups in taken_in.items()}
    for _ in NAMES:
        for groups in reached.values():
            groups.update(*(reached.get(group, set()) for group in tuple(groups)))
    unknown = any(groups - table.keys() for groups in taken_in.values())
    if unknown or any(name in groups for name, groups in reached.items()):
        with pytest.raises(BadKey, match="there is no group" if unknown else "go round in a circle"):
            LockGroups(table)
        return
    for target in TARGETS:
        expected = tuple(
            name
            for name in table
            if any(
                TargetPattern.parse(member).matches(target)
                for group in (name, *reached[name])
                for member in table[group]
                if not member.startswith("group:")
            )
        )
        assert LockGroups(table).of(target) == expected
