"""Who may do what, by the access rules and the numbers of a caller."""

from __future__ import annotations

import grp
import os
import pwd
import string
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.access import Access
from released.config import AccessConfig, Config, Configuration, Grant, load
from released.config.access import Member
from released.errors import ConfigError
from released.model.caller import Caller
from released.model.patterns import TargetPattern
from released.model.release import Target
from released.model.rights import Right, Rights, Role
from support.properties import deterministic
from support.users import Users, group

LIVE, TEST, BLOG = Target("shop", "live"), Target("shop", "test"), Target("blog", "live")
USER = pwd.getpwuid(2).pw_name
GROUP = grp.getgrgid(2).gr_name
SOMEBODY = Caller(uid=54321, gid=54321, pid=1)


def rights(caller: Caller, **lists: Any) -> str:
    return str(Access.of(AccessConfig(**{"deploy": (), **lists})).rights(caller))


def test_root_and_our_own_user_are_admin_whatever_the_rules_say() -> None:
    """They could end the daemon anyway."""
    for uid in (0, os.geteuid()):
        assert rights(Caller(uid=uid, gid=54321, pid=1)) == "admin"
    assert rights(SOMEBODY) == "nothing"


def test_right_is_a_user_s_or_a_group_s() -> None:
    """A group's is that of everybody who has it as first group or as another one."""
    by_user = {"deploy": (Grant(user=USER),)}
    assert rights(Caller(uid=2, gid=54321, pid=1), **by_user) == "deploy"
    assert rights(Caller(uid=54321, gid=2, pid=1, groups=(2,)), **by_user) == "nothing"
    by_group = {"deploy": (Grant(group=GROUP),)}
    assert rights(Caller(uid=54321, gid=2, pid=1), **by_group) == "deploy"
    assert rights(Caller(uid=54321, gid=54321, pid=1, groups=(1, 2)), **by_group) == "deploy"
    assert rights(Caller(uid=2, gid=54321, pid=1), **by_group) == "nothing"


def test_numbers_will_do_for_names() -> None:
    """Users of containers have no name on the host."""
    assert rights(SOMEBODY, read=(Grant(user="54321"),)) == "read"
    assert rights(SOMEBODY, read=(Grant(group="54321"),)) == "read"


def test_rights_add_up() -> None:
    """Each for its targets; a role includes those before it."""
    access = Access.of(
        AccessConfig(
            admin=(Grant(user="99999"),),
            deploy=(Grant(user="54321", targets=("shop/live",)),),
            read=(Grant(group="54321", targets=("shop/*", "shop/live")),),
        )
    )
    given = access.rights(SOMEBODY)
    assert str(given) == "deploy of shop/live and read of shop/*, shop/live"
    assert [given.allow(Role.READ, target) for target in (LIVE, TEST, BLOG)] == [True, True, False]
    assert [given.allow(Role.DEPLOY, target) for target in (LIVE, TEST, BLOG)] == [True, False, False]
    assert [given.allow_somewhere(role) for role in Role] == [True, True, False]
    assert [given.allow_everywhere(role) for role in Role] == [False, False, False]
    assert list(map(str, given.targets(Role.READ) or ())) == ["shop/live", "shop/*"]
    assert list(map(str, given.targets(Role.DEPLOY) or ())) == ["shop/live"]


def test_right_without_targets_is_for_all() -> None:
    """Also beside one for some."""
    grants = (Grant(user="54321", targets=("shop/live",)), Grant(group="54321"))
    given = Access.of(AccessConfig(deploy=(), read=grants)).rights(SOMEBODY)
    assert (given.allow(Role.READ, BLOG), given.allow_everywhere(Role.READ)) == (True, True)
    assert given.targets(Role.READ) is None


def test_list_of_no_targets_is_for_none() -> None:
    """It is what it says."""
    given = Access.of(AccessConfig(read=(Grant(user="54321", targets=()),))).rights(SOMEBODY)
    assert (given.allow(Role.READ, LIVE), given.targets(Role.READ)) == (False, ())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a group")
def test_group_released_may_deploy_if_the_rules_do_not_say_who_may() -> None:
    """A host without that group has nobody in it."""
    with group("released") as gid:
        member = Caller(uid=54321, gid=54321, pid=1, groups=(gid,))
        assert str(Access.of(AccessConfig()).rights(member)) == "deploy"
        assert rights(member) == "nothing"
        assert rights(member, deploy=(Grant(user=USER),)) == "nothing"


def test_default_without_the_group_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon runs without being installed, too."""

    def there_is_none(name: str) -> grp.struct_group:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", there_is_none)
    assert str(Access.of(AccessConfig()).rights(SOMEBODY)) == "nothing"


def test_applications_that_may_have_releases() -> None:
    """All of them if the operator does not say."""
    assert Access.of(AccessConfig(deploy=())).is_enabled(LIVE)
    some = Access.of(AccessConfig(deploy=(), applications=("shop", "intra-*")))
    assert [some.is_enabled(target) for target in (LIVE, TEST, BLOG)] == [True, True, False]
    assert some.is_enabled(Target("intra-hr", "live"))
    assert not Access.of(AccessConfig(deploy=(), applications=())).is_enabled(LIVE)


def test_real_user_has_the_rights_of_its_groups(users: Users) -> None:
    """By the system's user database."""
    config = AccessConfig(deploy=(Grant(group=users.team),), read=(Grant(user=users.person.name),))
    member, person = (
        Caller(uid=user.uid, gid=user.gid, pid=1, groups=user.groups) for user in (users.member, users.person)
    )
    assert str(Access.of(config).rights(member)) == "deploy"
    assert str(Access.of(config).rights(person)) == "read"


def test_names_are_looked_up_when_the_configuration_is_loaded_and_never_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user database may fail or hang later; what was read counts all the same."""
    file = tmp_path / "config.toml"
    file.write_text(f'[access]\ndeploy = [{{ user = "{USER}" }}]\nread = [{{ group = "{GROUP}" }}]\n')
    configuration = Configuration(Config())
    loaded = load(file)

    def fail(name: str) -> None:
        raise AssertionError(f"{name} is looked up again")

    monkeypatch.setattr(pwd, "getpwnam", fail)
    monkeypatch.setattr(grp, "getgrnam", fail)
    configuration.replace(loaded)
    access = Access.of(configuration.current.access)
    assert str(access.rights(Caller(uid=2, gid=54321, pid=1))) == "deploy"
    assert str(access.rights(Caller(uid=54321, gid=2, pid=1))) == "read"


def test_each_configuration_that_is_loaded_looks_names_up_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that was made since counts, also the one that no file names."""
    file = tmp_path / "config.toml"
    file.touch()
    assert len(rules_with_group_released(file, monkeypatch, None)) == 0
    assert [member.gid for member in rules_with_group_released(file, monkeypatch, 4711)] == [4711]


def rules_with_group_released(
    file: Path, monkeypatch: pytest.MonkeyPatch, gid: int | None
) -> tuple[Member, ...]:
    """Who is given what by a file, on a host whose only group, if it has one, is `released`."""

    def look_up(name: str) -> grp.struct_group:
        if gid is None or name != "released":
            raise KeyError(name)
        return grp.struct_group((name, "x", gid, []))

    monkeypatch.setattr(grp, "getgrnam", look_up)
    return load(file).access.rules.members


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            'deploy = [{ user = "nosuchuser" }]',
            "line 3: [access] deploy[0].user: there is no user 'nosuchuser'",
        ),
        (
            'read = [{ user = "root" }, { group = "nosuchgroup" }]',
            "line 3: [access] read[1].group: there is no group 'nosuchgroup'",
        ),
        ("deploy = [{}]", "line 3: [access] deploy[0]: name a user or a group"),
        (
            'deploy = [{ user = "root", group = "root" }]',
            "line 3: [access] deploy[0]: name a user or a group",
        ),
        (
            'deploy = [{ user = "root", targets = ["shop/*", "shop"] }]',
            "line 3: [access] deploy[0].targets[1]: 'shop' is no deployment target",
        ),
        (
            'admin = [{ user = "root", targets = ["shop/*"] }]',
            "line 3: [access] admin[0].targets: an admin is",
        ),
        ('deploy = [{ usr = "root" }]', "line 3: [access] deploy[0].usr: there is no such key"),
        ('owner = [{ user = "root" }]', "line 3: [access] owner: there is no such key"),
        ('applications = ["Shop"]', "line 3: [access] applications[0]: 'Shop/*' is no deployment target"),
        ('deploy = "root"', "line 3: [access] deploy: Expected `array | null`, got `str`"),
    ],
)
def test_rule_that_means_nothing_is_named(tmp_path: Path, rules: str, message: str) -> None:
    """With its file, its line and its key, before anything is opened."""
    file = tmp_path / "config.toml"
    file.write_text(f"# Who may do what.\n[access]\n{rules}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}, {message}")


PATTERNS = st.lists(
    st.builds(
        TargetPattern,
        st.sampled_from(["shop", "sh*", "*", "s*p", "blog", "*-*"]),
        st.one_of(st.sampled_from(["*", "**"]), st.text(alphabet="ab0*", min_size=1, max_size=3)),
    ),
    max_size=4,
)
LETTERS = string.ascii_lowercase + string.digits
ENVIRONMENTS = [*LETTERS, *map("".join, product("ab0", repeat=2)), "live", "a-b", "z" * 63]


@deterministic
@given(PATTERNS, st.sampled_from(Role))
def test_all_of_an_application_is_each_of_its_environments(patterns: list[TargetPattern], role: Role) -> None:
    """Whatever they may be called, by whichever patterns; some is one of them at least."""
    rights = Rights([Right(Role.DEPLOY, tuple(patterns))])
    allowed = [rights.allow(role, Target("shop", environment)) for environment in ENVIRONMENTS]
    assert rights.allow_all_of(role, "shop") is all(allowed)
    assert any(allowed) <= rights.allow_any_of(role, "shop")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("shop/*", (True, True)),
        ("sh*/*", (True, True)),
        ("*/*", (True, True)),
        ("shop/live", (False, True)),
        ("*/l*", (False, True)),
        ("shop-*/*", (False, False)),
        ("blog/*", (False, False)),
    ],
)
def test_rights_to_an_application(targets: str, expected: tuple[bool, bool]) -> None:
    """To all of it, and to some of it; several rights count together, and a lower role does not."""
    rights = Rights([Right(Role.DEPLOY, (TargetPattern.parse(targets),)), Right(Role.READ)])
    assert (rights.allow_all_of(Role.DEPLOY, "shop"), rights.allow_any_of(Role.DEPLOY, "shop")) == expected
    assert (rights.allow_all_of(Role.READ, "shop"), rights.allow_any_of(Role.READ, "shop")) == (True, True)
    assert not rights.allow_any_of(Role.ADMIN, "shop")


def test_admin_may_do_everything_to_all_of_an_application() -> None:
    """Also to one that nobody knows yet."""
    assert Rights([Right(Role.ADMIN)]).allow_all_of(Role.DEPLOY, "shop")
    assert not Rights([]).allow_any_of(Role.READ, "shop")
