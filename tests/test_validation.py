"""What a StartReleaseRequest must look like: every kind of bad field."""

import pytest
from google.protobuf.duration_pb2 import Duration

from released.errors import InvalidRequest
from releasephase.v1 import release_pb2
from support.start_request import (
    DEFAULT_TIMEOUT,
    KIB,
    SECRET,
    SHA,
    UUID,
    Field,
    argv,
    command,
    env,
    mount,
    request,
    spec_of,
    validate,
    violations,
)

SLUG = "must be 1 to 63 lower-case letters, digits and inner hyphens"
IMAGE = "must be an image reference such as registry.example/shop:1.2, or an image id"
LABEL = "must be one line of 1 to 200 characters"
LINE = f"must be {64 * KIB} bytes at most"
NUL = "must not contain a NUL character"
TIMEOUT = "must be more than 0 and 7 days at most"
ENV_NAME = "must not be empty, nor contain '=' or control characters"
ENV_VALUE = f"must be {64 * KIB} bytes at most, with its name"
TOTAL = f"must be {KIB * KIB} bytes at most, together with env"
SOURCE = "must be an absolute path without '..', or the name of a volume"
TARGET = "must be an absolute path without '..', and not /"
AUTH = "must have a username and a password, or an identity_token"

BAD: list[tuple[str, Field, str, str]] = [
    *(
        (f"{field}: {value!r}", {field: value}, field, SLUG)
        for field in ("application", "environment")
        for value in ("", "Shop", "-shop", "shop-", "a_b", "a b", "shöp", "a/b", "x" * 64, "shop\n")
    ),
    *(
        (f"image: {value[:20]!r}", {"image": value}, "image", IMAGE)
        for value in (
            "",
            "Shop",
            "shop:",
            "shop:-x",
            "shop@sha256:abc",
            f"shop@{SHA}0!",
            "shop:2 --privileged",
            "-v",
            "shop//x",
            "/shop",
            "shop/",
            "registry.example:port/shop",
            "shop\n",
            "s" * 513,
            "shop:" + "x" * 129,
            "../shop",
        )
    ),
    (
        "too many commands",
        {"commands": [{"label": "x", "line": "true"}] * 101},
        "commands",
        "must be 100 at most, not 101",
    ),
    ("no label", command(label=""), "commands[0].label", LABEL),
    ("a blank label", command(label="  "), "commands[0].label", LABEL),
    ("a label of two lines", command(label="a\nb"), "commands[0].label", LABEL),
    ("a label that controls the terminal", command(label="\x1b[2J"), "commands[0].label", LABEL),
    ("a label that is too long", command(label="x" * 201), "commands[0].label", LABEL),
    ("no command", {"commands": [{"label": "x"}]}, "commands[0]", "must have a line or an argv"),
    ("an empty line", command(line=""), "commands[0].line", "must not be empty"),
    ("a blank line", command(line=" \n\t"), "commands[0].line", "must not be empty"),
    ("a line that is too long", command(line="x" * (64 * KIB + 1)), "commands[0].line", LINE),
    ("a line with too many bytes", command(line="ä" * (32 * KIB) + "x"), "commands[0].line", LINE),
    ("a NUL in a line", command(line="a\0b"), "commands[0].line", NUL),
    ("an empty argv", command(argv=argv()), "commands[0].argv", "must begin with a program"),
    (
        "an argv without a program",
        command(argv=argv("", "x")),
        "commands[0].argv",
        "must begin with a program",
    ),
    ("an argv that is too long", command(argv=argv("x" * (64 * KIB + 1))), "commands[0].argv", LINE),
    (
        "an argv that quoting makes too long",
        command(argv=argv("x", "'" * (20 * KIB))),
        "commands[0].argv",
        LINE,
    ),
    ("a NUL in an argv", command(argv=argv("x", "\0")), "commands[0].argv", NUL),
    *(
        (f"timeout: {seconds} s, {nanos} ns", fields, field, TIMEOUT)
        for seconds, nanos in ((0, 0), (-1, 0), (0, -1), (0, 1), (7 * 86400, 1000), (2**62, 0), (-(2**62), 0))
        for field, fields in (
            ("commands[0].timeout", command(timeout=Duration(seconds=seconds, nanos=nanos))),
            ("release_timeout", {"release_timeout": Duration(seconds=seconds, nanos=nanos)}),
        )
    ),
    ("a variable without a name", env(("", "x")), "env[0].name", ENV_NAME),
    ("= in a name", env(("A=B", "x")), "env[0].name", ENV_NAME),
    ("NUL in a name", env(("A\0", "x")), "env[0].name", ENV_NAME),
    ("an escape sequence in a name", env(("A\x1b[2J", "x")), "env[0].name", ENV_NAME),
    *(
        (f"the daemon's own {name}", env((name, "x")), "env[0].name", f"{name} is the daemon's own")
        for name in ("RELEASEPHASE_TARGET", "__releasephase_nonce")
    ),
    (
        "too many networks",
        {"networks": [f"n{i}" for i in range(33)]},
        "networks",
        "must be 32 at most, not 33",
    ),
    (
        "a network of a long name",
        {"networks": ["n" * 129]},
        "networks[0]",
        "must be the name of a network",
    ),
    (
        "too many mounts",
        {"mounts": [release_pb2.Mount(source="/srv", target=f"/m/{i}") for i in range(101)]},
        "mounts",
        "must be 100 at most, not 101",
    ),
    (
        "a mount twice, written in two ways",
        {
            "mounts": [
                release_pb2.Mount(source="/a", target="/b"),
                release_pb2.Mount(source="/c", target="/b/./"),
            ]
        },
        "mounts[1].target",
        "/b is mounted twice",
    ),
    (
        "an entrypoint that is too long",
        {"entrypoint": release_pb2.EntrypointOverride(arguments=["x" * 64 * KIB])},
        "entrypoint.arguments",
        LINE,
    ),
    (
        "a user name for the registry that is no name",
        {"registry_auth": {"username": "a\nb", "password": "x"}},
        "registry_auth.username",
        "must be one line of 256 characters at most",
    ),
    (
        "an id that is always to be pulled",
        {"image": "sha256:" + "0" * 64, "pull_policy": release_pb2.PULL_POLICY_ALWAYS},
        "pull_policy",
        "can't be ALWAYS for an image id, which no registry knows",
    ),
    ("a variable twice", env(("A", "x"), ("B", "y"), ("A", "x")), "env[2].name", "A is set twice"),
    ("NUL in a value", env(("A", "x\0")), "env[0].value", NUL),
    ("a value that is too long", env(("AB", "x" * (64 * KIB - 1))), "env[0].value", ENV_VALUE),
    ("too much of all", {**env(*((f"V{i}", "x" * 60 * KIB) for i in range(18)))}, "commands", TOTAL),
    (
        "lines that quoting makes too long together",
        {"commands": [{"label": "x", "argv": argv("x", "'" * (12 * KIB))}] * 18},
        "commands",
        TOTAL,
    ),
    *(
        (f"network: {n!r}", {"networks": ["ok", n]}, "networks[1]", "must be the name of a network")
        for n in ("", "-x", "a b", "a/b")
    ),
    ("a network twice", {"networks": ["a", "b", "a"]}, "networks", "must not name a network twice"),
    *(
        (f"user: {user!r}", {"user": user}, "user", "must be a name or uid, optionally with :group or :gid")
        for user in ("a b", ":www", "app:", "a:b:c", "-1", "app\n")
    ),
    *(
        (
            f"working_dir: {path[:10]!r}",
            {"working_dir": path},
            "working_dir",
            "must be an absolute path without '..'",
        )
        for path in ("srv", "./srv", "/srv/../etc", "/..", "/a\0", "/" + "x" * 4096)
    ),
    ("NUL in the entrypoint", {"entrypoint": argv("sh", "\0")}, "entrypoint.arguments", NUL),
    (
        "an entrypoint without a program",
        {"entrypoint": argv("", "x")},
        "entrypoint.arguments[0]",
        "must be a program",
    ),
    *(
        (f"mount of {s[:10]!r}", mount(source=s), "mounts[0].source", SOURCE)
        for s in ("", "srv/x", "./x", "/a/../b", "-v", "/\0")
    ),
    *(
        (f"mount at {t[:10]!r}", mount(target=t), "mounts[0].target", TARGET)
        for t in ("", "data", "./x", "/a/../b", "/", "//", "/.", "/\0")
    ),
    (
        "two mounts at one place in other words",
        {"mounts": [*mount()["mounts"], *mount(target="//data/./")["mounts"]]},
        "mounts[1].target",
        "/data is mounted twice",
    ),
    (
        "two mounts at one place",
        {"mounts": [*mount()["mounts"], *mount(source="db")["mounts"]]},
        "mounts[1].target",
        "/data is mounted twice",
    ),
    *(
        (
            f"memory: {n}",
            {"resources": {"memory_bytes": n}},
            "resources.memory_bytes",
            f"must be {6 * KIB * KIB} at least, or 0 for the default",
        )
        for n in (-1, 1, 6 * KIB * KIB - 1)
    ),
    *(
        (
            f"cpus: {n}",
            {"resources": {"cpus": n}},
            "resources.cpus",
            "must be between 0.001 and 100000, or 0 for the default",
        )
        for n in (-1.0, 0.0009, 100_001.0, float("inf"), float("-inf"), float("nan"))
    ),
    *(
        (
            f"pids: {n}",
            {"resources": {"pids": n}},
            "resources.pids",
            "must be 2 at least, or 0 for the default",
        )
        for n in (-1, 1)
    ),
    *(
        (f"registry_auth: {auth}", {"registry_auth": auth}, "registry_auth", AUTH)
        for auth in (
            {},
            {"username": "u"},
            {"password": "p"},
            {"username": "u", "password": "p", "identity_token": "t"},
        )
    ),
    ("pull_policy", {"pull_policy": 99}, "pull_policy", "must be ALWAYS, MISSING or NEVER"),
    ("on_busy", {"on_busy": 99}, "on_busy", "must be QUEUE or REJECT"),
    (
        "container_mode",
        {"container_mode": 99},
        "container_mode",
        "must be PER_RELEASE or PER_COMMAND",
    ),
    *(
        (f"request_id: {text!r}", {"request_id": text}, "request_id", "must be a UUID")
        for text in (
            "x",
            UUID[:-1],
            UUID + "0",
            UUID.replace("-", ""),
            "{" + UUID + "}",
            f"urn:uuid:{UUID}",
            UUID + "\n",
        )
    ),
    (
        "requested_by of two lines",
        {"requested_by": "a\nb"},
        "requested_by",
        "must be one line of 256 characters at most",
    ),
    (
        "requested_by too long",
        {"requested_by": "x" * 257},
        "requested_by",
        "must be one line of 256 characters at most",
    ),
    ("too many labels", {"labels": {f"k{i}": "" for i in range(65)}}, "labels", "must be 64 at most, not 65"),
    (
        "too many variables",
        env(*((f"V{i}", "") for i in range(1001))),
        "env",
        "must be 1000 at most, not 1001",
    ),
    *(
        (
            f"label key {key[:10]!r}",
            {"labels": {key: "x"}},
            "labels",
            f"{key[:63]!r} is no key: use up to 63 letters, digits, and inner _ . / -",
        )
        for key in ("", "a b", "-a", "a-", "ä", "x" * 64)
    ),
    *(
        (
            f"label value {value[:5]!r}",
            {"labels": {"k": value}},
            "labels",
            "the value of 'k' must be one line of 256 characters at most",
        )
        for value in ("a\nb", "x" * 257)
    ),
]


@pytest.mark.parametrize(
    ("fields", "field", "description"), [pytest.param(*case, id=name) for name, *case in BAD]
)
def test_bad_field_is_named_with_what_is_wrong(fields: Field, field: str, description: str) -> None:
    """One violation, for the one thing that is wrong."""
    assert violations(**fields) == [(field, description)]


def test_all_violations_are_reported_at_once() -> None:
    """Whoever corrects them does it once."""
    found = violations(
        application="",
        image="",
        commands=[{"label": "", "line": ""}, {"label": "ok", "line": "true"}, {"label": "no command"}],
        env=[{"name": ""}, {"name": "A", "value": "\0"}],
        networks=["-"],
        user=":",
        working_dir="x",
        mounts=[{"source": "", "target": ""}],
        resources={"memory_bytes": 1, "cpus": -1, "pids": 1},
        registry_auth={},
        pull_policy=9,
        on_busy=9,
        container_mode=9,
        release_timeout=Duration(),
        request_id="x",
        requested_by="\n",
        labels={"": "\n"},
    )
    assert [field for field, _ in found] == [
        "application",
        "image",
        "commands[0].label",
        "commands[0].line",
        "commands[2]",
        "env[0].name",
        "env[1].value",
        "networks[0]",
        "user",
        "working_dir",
        "mounts[0].source",
        "mounts[0].target",
        "resources.memory_bytes",
        "resources.cpus",
        "resources.pids",
        "registry_auth",
        "pull_policy",
        "on_busy",
        "container_mode",
        "release_timeout",
        "request_id",
        "requested_by",
        "labels",
        "labels",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        env(("A", SECRET), ("A", SECRET)),
        env(("", SECRET)),
        env((f"A={SECRET}", "x")) | {"env": [{"name": "A=B", "value": SECRET}]},
        env(("A", SECRET + "\0")),
        env(("A", SECRET * 6000)),
        env(*((f"V{i}", SECRET * 5000) for i in range(20))),
        {"application": "", **env(("A", SECRET))},
        {"registry_auth": {"password": SECRET}},
        {"registry_auth": {"username": "u", "password": SECRET, "identity_token": SECRET}},
    ],
)
def test_no_value_and_no_credential_appears_in_a_violation(fields: Field) -> None:
    """They may be secrets, and violations are printed and logged."""
    with pytest.raises(InvalidRequest) as refused:
        validate(request(**fields), DEFAULT_TIMEOUT)
    assert SECRET not in f"{refused.value!r} {refused.value.message} {refused.value.violations}"


def test_names_of_variables_have_a_length() -> None:
    """They are compared with patterns."""
    ((field, description),) = violations(**env(("A" * 256, "x")))
    assert (field, description) == ("env[0].name", "must be 255 characters at most")
    spec_of(**env(("A" * 255, "x")))


def test_rollbacks_have_to_fit_one_process_together() -> None:
    """A release that fails behind its last command has all of them undone."""
    line = "x" * 60 * KIB
    commands = [{"label": str(index), "line": "true", "rollback": line} for index in range(18)]
    assert violations(commands=commands) == [
        ("commands", "rollbacks must be 1048576 bytes at most, together with env")
    ]
    assert spec_of(commands=commands[:17]).commands[16].rollback == line
