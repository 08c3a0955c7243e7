"""What an operator's policy allows: pure functions of a request's fields."""

from typing import Any

import pytest

from released.config import MountRule, PolicyTable
from released.model.release import Mount, Resources, Target
from released.policy.powers import Powers
from released.policy.rules import Rules

SHA = "sha256:" + "a" * 64
GIB = 2**30
POWERS = Powers(uids=frozenset({997}), gids=frozenset({997, 998}))
"""The daemon's own, and the group of the engine's socket."""


def rules(**keys: Any) -> Rules:
    """The rules for shop/live, whose policy has these keys, on a host of 8 GiB."""
    return Rules.of(Target("shop", "live"), {"shop/*": PolicyTable(**keys)}, 8 * GIB, POWERS)


@pytest.mark.parametrize(
    ("pattern", "image", "allowed"),
    [
        ("**", "shop", True),
        ("**", SHA, True),
        ("docker.io/library/*", "shop", True),
        ("docker.io/library/*", "shop:2", True),
        ("docker.io/library/*", "library/shop", True),
        ("docker.io/library/*", "docker.io/shop", True),
        ("docker.io/library/*", "index.docker.io/library/shop", True),
        ("docker.io/library/*", "acme/shop", False),
        ("docker.io/acme/*", "acme/shop", True),
        ("docker.io/acme/*", "acme/web/shop", False),
        ("docker.io/acme/**", "acme/web/shop", True),
        ("docker.io/**", "evil.example/shop", False),
        ("docker.io/**", SHA, False),
        ("docker.io/library/*", "localhost/shop", False),
        ("registry.example/shop/*", "registry.example/shop/web:1.2", True),
        ("registry.example/shop/*", f"registry.example/shop/web@{SHA}", True),
        ("registry.example/shop/*", "registry.example/shop", False),
        ("registry.example/shop/*", "registry.example:5000/shop/web", False),
        ("registry.example/shop/*", "registry.example.evil.example/shop/web", False),
        ("registry.example/shop/*", "Registry.example/shop/web", False),
        ("registry.example/shop/*", "evil.example/registry.example/shop/web", False),
        ("registry.example:5000/shop", "registry.example:5000/shop:2", True),
        ("registry.example/shop:v*", "registry.example/shop:v2", True),
        ("registry.example/shop:v*", "registry.example/shop:2", False),
        ("registry.example/shop:v*", "registry.example/shop", False),
        ("registry.example/shop:latest", "registry.example/shop", True),
        ("registry.example/shop:v*", f"registry.example/shop:v2@{SHA}", False),
        (f"registry.example/shop@{SHA}", f"registry.example/shop:v2@{SHA}", True),
        (f"registry.example/shop@{SHA}", "registry.example/shop:v2", False),
        ("sha256:*", SHA, True),
        ("sha256:*", "sha256:2", False),
        ("docker.io/library/*", "sha256:2", True),
    ],
)
def test_images(pattern: str, image: str, allowed: bool) -> None:
    """A reference is read as Docker reads it. The engine ignores a tag beside a digest, and so do we."""
    assert (not rules(images=(pattern,)).refuse_image(image)) is allowed


@pytest.mark.parametrize(("image", "allowed"), [("shop:2", False), (f"shop@{SHA}", True), (SHA, True)])
def test_digest_required(image: str, allowed: bool) -> None:
    """What a tag stands for may change after it was approved of."""
    assert (not rules(digest_required=True).refuse_image(image)) is allowed


@pytest.mark.parametrize("network", ["shop-db", "shop-"])
def test_networks(network: str) -> None:
    """Those that match a pattern, and never the host's."""
    assert not rules(networks=("shop-*", "host")).refuse_network(network)
    assert rules(networks=("blog-*",)).refuse_network(network) == (
        f"{network} is not allowed: the policy for shop/live allows blog-*"
    )
    assert rules(networks=("*", "host")).refuse_network("host")
    assert rules(networks=()).refuse_network("bridge") == "the policy for shop/live allows no network"


@pytest.mark.parametrize(
    ("networks", "allowed"),
    [(("*",), True), (("shop-*", ""), True), (("shop-*", "none"), False), ((), False)],
)
def test_no_network_named_is_the_engine_s_default(networks: tuple[str, ...], allowed: bool) -> None:
    """The empty text stands for it, which has to be allowed as any other."""
    assert (not rules(networks=networks).refuse_network("")) is allowed


def test_refusal_of_the_engine_s_default_network() -> None:
    """It says what to name."""
    assert rules(networks=("shop-*", "none")).refuse_network("") == (
        "the engine's default network is not allowed: the policy for shop/live allows shop-*, none: "
        "name one of them"
    )


@pytest.mark.parametrize(("name", "allowed"), [("SHOP_A", True), ("LD_PRELOAD", False), ("XSHOP_A", False)])
def test_environment_names(name: str, allowed: bool) -> None:
    """Those that match a pattern."""
    assert (not rules(environment_names=("SHOP_*",)).refuse_variable(name)) is allowed


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (None, "web", False),
        ((), "web", False),
        (("shop-web-*",), "shop-web-1", True),
        (("shop-web-*",), "shop-db-1", False),
        (("shop-web-*",), "xshop-web-1", False),
        (("*",), "bank", True),
    ],
)
def test_containers_to_be_like(patterns: tuple[str, ...] | None, name: str, allowed: bool) -> None:
    """None, unless the operator says so."""
    assert (not rules(like_containers=patterns).refuse_like_container(name)) is allowed


@pytest.mark.parametrize(
    ("users", "user", "allowed"),
    [
        (("*",), "", True),
        (("*",), "root", True),
        (("app",), "app", True),
        (("app",), "app:root", False),
        (("app",), "", False),
        (("app", ""), "", True),
        (("1*:1000",), "1001:1000", True),
    ],
)
def test_users(users: tuple[str, ...], user: str, allowed: bool) -> None:
    """The empty text stands for the image's own user, which has to be allowed as any other."""
    assert (not rules(users=users).refuse_user(user)) is allowed


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("1000", False),
        ("1000:", False),
        ("1000:1000", True),
        ("0001000:0001000", True),
        ("2147483647:2147483647", True),
        ("1000:0", False),
        ("1000:00", False),
        ("1000:root", False),
        ("1000:app", False),
        ("1000:2147483648", False),
        ("1000:4294967296", False),
        ("1000:\u0661", False),
        ("1000:-1", False),
        ("+0", False),
        ("1" * 5000, False),
        ("0" * 5000, False),
        (f"1000:{'1' * 5000}", False),
        ("0", False),
        ("00", False),
        ("0:1000", False),
        ("root", False),
        ("app", False),
        ("app:app", False),
        ("4294967296", False),
        ("2147483648", False),
        ("\u0661", False),
        (":1000", False),
    ],
)
def test_root_not_allowed(user: str, allowed: bool) -> None:
    """A name is in the image's hands, and a number that is too large may become 0."""
    assert (not rules(root_allowed=False).refuse_user(user)) is allowed
    assert (not rules(root_allowed=False).refuse_numbers(user)) is allowed
    assert not rules().refuse_numbers(user)


@pytest.mark.parametrize("root_allowed", [False, True])
@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("997", "the uid 997 "),
        ("997:1000", "the uid 997 "),
        ("0" * 5000 + "997", "is the release daemon's"),
        ("1000:997", "the gid 997 "),
        ("1000:998", "the gid 998 "),
        ("1000:00998", "the gid 00998 "),
        ("app:998", "the gid 998 "),
        ("0:998", "the gid 998 "),
        ("998:1000", ""),
    ],
)
def test_numbers_that_give_the_daemon_or_the_engine(root_allowed: bool, user: str, words: str) -> None:
    """No release has them, whatever the policy says: a file that it leaves on the host could use them."""
    its_rules = rules(root_allowed=root_allowed, users=("*",))
    for refusal in (its_rules.refuse_user(user), its_rules.refuse_numbers(user)):
        assert words in refusal if words else not refusal


def test_image_s_own_user_is_looked_at_later() -> None:
    """Whether it is root is known when there is an image."""
    assert not rules(root_allowed=False).refuse_user("")
    assert rules(root_allowed=False).refuse_numbers("").startswith("no user can be root")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", True),
        ("/", True),
        ("/process", True),
        ("/srv/proc", True),
        ("/srv/../proc/self/fd/8", False),
        ("//proc/self/fd/8", False),
        ("///proc", False),
        ("/./proc/.", False),
        ("proc/self/fd/8", False),
        ("../proc/self/fd/8", False),
        ("/dev/fd/8", False),
        ("/sys", False),
    ],
)
def test_working_directories(path: str, allowed: bool) -> None:
    """As the engine reads them, which cleans a path: an image may say it in any way."""
    assert (not rules().refuse_working_dir(path)) is allowed


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount("/srv/shop/media", "/media", True), ""),
        (Mount("/srv/shop/media", "/media", False), ""),
        (Mount("/srv/shop/static", "/static", True), ""),
        (Mount("/srv/shop/static", "/static", False), "only read-only"),
        (Mount("/srv/shop/media", "/static", False), "only read-only"),
        (Mount("/srv/shop/media", "/other", True), "is not allowed"),
        (Mount("/srv/shop/media/x", "/media", True), "is not allowed"),
        (Mount("/srv/shop", "/media", True), "is not allowed"),
        (Mount("shop-data", "/data", True), ""),
        (Mount("shop-data", "/data", False), "only read-only"),
        (Mount("data", "/data", True), "is not allowed"),
    ],
)
def test_mounts(mount: Mount, words: str) -> None:
    """Source and target together; read-only unless the operator says otherwise."""
    table = (
        MountRule("/srv/shop/media", "/media", read_only=False),
        MountRule("/srv/shop/*", "/static"),
        MountRule("shop-*", "/data"),
    )
    refusal = rules(mounts=table).refuse_mount(mount)
    assert words in refusal if words else not refusal


def test_nothing_is_mounted_by_default() -> None:
    """Mounts are what reaches the host."""
    assert rules().refuse_mount(Mount("data", "/data", True)) == (
        "data at /data is not allowed: the policy for shop/live allows none"
    )


@pytest.mark.parametrize(
    ("keys", "asked", "given"),
    [
        ({}, Resources(), Resources(6 * GIB, 0.0, 4096)),
        ({}, Resources(GIB, 1.5, 10), Resources(GIB, 1.5, 10)),
        ({"max_memory": GIB, "max_cpus": 2.0, "max_pids": 9}, Resources(), Resources(GIB, 2.0, 9)),
        (
            {"default_memory": GIB, "default_cpus": 0.5, "default_pids": 9},
            Resources(),
            Resources(GIB, 0.5, 9),
        ),
        ({"max_memory": GIB, "default_memory": 2 * GIB}, Resources(), Resources(GIB, 0.0, 4096)),
    ],
)
def test_resources(keys: dict[str, Any], asked: Resources, given: Resources) -> None:
    """What a release asks for, or the default, which is the ceiling unless it is set."""
    assert rules(**keys).resources(asked) == given
    assert not rules(**keys).refuse_resources(given)


def test_ceilings() -> None:
    """Whatever exceeds one is named; three quarters of the host's memory, if nothing is said."""
    asked = Resources(6 * GIB + 1, 2.5, 4097)
    assert set(rules(max_cpus=2.0).refuse_resources(asked)) == {"memory_bytes", "cpus", "pids"}
    assert rules().refuse_resources(asked)["memory_bytes"] == (
        "must be 6442450944 at most: so the policy for shop/live"
    )


def test_policy_of_another_target_does_not_hold() -> None:
    """A target that no pattern matches has the default one."""
    tables = {"default": PolicyTable(max_pids=7), "shop/*": PolicyTable(max_pids=5)}
    given = [Rules.of(Target(*target), tables, GIB, POWERS).resources(Resources()).pids for target in TARGETS]
    assert given == [5, 7, 7]


TARGETS = [("shop", "live"), ("webshop", "live"), ("Shop", "../live")]
