"""The configuration of a release container, to the last field."""

from typing import Any

import pytest

from released.engine.container import (
    SUPERVISOR,
    container_config,
    is_name_of,
    log_config,
    name_of,
    nonce_in,
    single,
    supervised,
)
from released.model.release import Mount, RegistryAuth, ReleaseSpec, Resources, Secrets
from support.samples import OTHER_RELEASE, RELEASE, a_command, a_spec

NONCE = "0123456789abcdef0123456789abcdef"
IMAGE = "sha256:" + "5" * 64
DAEMON = "0123456789abcdef"

OWN_VARIABLES = [
    "RELEASE_COMMAND=1",
    f"RELEASEPHASE_RELEASE=releases/{RELEASE}",
    "RELEASEPHASE_TARGET=shop/live",
]


def config(spec: ReleaseSpec, secrets: Secrets | None = None) -> dict[str, Any]:
    process = supervised(spec, NONCE)
    return container_config(RELEASE, spec, secrets or Secrets(), IMAGE, process, {"Type": "local"}, DAEMON)


def test_whole_configuration_of_a_plain_release() -> None:
    """Nothing is left to the engine's defaults that matters to a release."""
    assert config(a_spec("true", "echo done")) == {
        "Image": IMAGE,
        "Cmd": ["/bin/sh", "-c", SUPERVISOR, "release-supervisor", NONCE, "=true", "=echo done"],
        "Env": OWN_VARIABLES,
        "Labels": {
            "releasephase.release": f"releases/{RELEASE}",
            "releasephase.daemon": DAEMON,
            "releasephase.target": "shop/live",
            "releasephase.image": "shop:2",
            "releasephase.command-labels": "command 0, command 1",
        },
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Init": True,
            "Privileged": False,
            "CapDrop": ["ALL"],
            "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "AutoRemove": False,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "local"},
            "Mounts": [],
        },
    }


def difference(**fields: Any) -> dict[str, Any]:
    """What a field of the request changes in the configuration, that of the host joined in."""
    plain, changed = config(a_spec("true")), config(a_spec("true", **fields))
    for whole in (plain, changed):
        whole |= whole.pop("HostConfig")
    return {key: value for key, value in changed.items() if value != plain.get(key)}


def test_user() -> None:
    """As the request names it."""
    assert difference(user="app:www") == {"User": "app:www"}


def test_working_directory() -> None:
    """As the request names it."""
    assert difference(working_dir="/srv/app") == {"WorkingDir": "/srv/app"}


def test_entrypoint_override() -> None:
    """In place of the image's own."""
    assert difference(entrypoint=("/entry", "-x")) == {"Entrypoint": ["/entry", "-x"]}


def test_entrypoint_override_that_is_empty() -> None:
    """One empty string takes the image's own away: the engine takes an empty list for no override."""
    assert difference(entrypoint=()) == {"Entrypoint": [""]}


def test_one_network() -> None:
    """It replaces the engine's default network."""
    assert difference(networks=("backend",)) == {
        "NetworkMode": "backend",
        "NetworkingConfig": {"EndpointsConfig": {"backend": {}}},
    }


def test_several_networks() -> None:
    """The engine takes one at creation; the others are connected before the start."""
    assert difference(networks=("backend", "db", "cache")) == difference(networks=("backend",))


def test_memory_limit_leaves_no_swap() -> None:
    """Memory with swap is the same limit: swapping would only put off running out of memory."""
    assert difference(resources=Resources(memory_bytes=64 * 2**20)) == {
        "Memory": 64 * 2**20,
        "MemorySwap": 64 * 2**20,
    }


@pytest.mark.parametrize(("cpus", "nanos"), [(1.5, 1_500_000_000), (0.001, 1_000_000), (0.1, 100_000_000)])
def test_cpu_limit_is_in_billionths(cpus: float, nanos: int) -> None:
    """As the engine counts, rounded and not cut off."""
    assert difference(resources=Resources(cpus=cpus)) == {"NanoCpus": nanos}


def test_pids_limit() -> None:
    """It keeps a fork bomb small."""
    assert difference(resources=Resources(pids=100)) == {"PidsLimit": 100}


def test_mounts_of_folders_and_volumes() -> None:
    """What begins with a slash is a path of the host."""
    mounts = (
        Mount("/srv/media", "/media", True),
        Mount("db", "/var/lib/db"),
        Mount("config", "/etc/app", True),
    )
    assert difference(mounts=mounts) == {
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/srv/media",
                "Target": "/media",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
            },
            {
                "Type": "volume",
                "Source": "db",
                "Target": "/var/lib/db",
                "ReadOnly": False,
                "VolumeOptions": {"NoCopy": False},
            },
            {
                "Type": "volume",
                "Source": "config",
                "Target": "/etc/app",
                "ReadOnly": True,
                "VolumeOptions": {"NoCopy": True},
            },
        ]
    }


@pytest.mark.parametrize("driver", ["local", "json-file"])
def test_engine_s_log_keeps_what_may_be_stored(driver: str) -> None:
    """The four files that are whole when the fifth begins take a command's output up to its cap."""
    options = {"max-size": "67108864", "max-file": "5"}
    assert log_config(driver, 256 * 1024 * 1024) == {"Type": driver, "Config": options}


def test_small_output_cap_does_not_make_the_engine_s_log_tiny() -> None:
    """What lies outside of every command is in it, too."""
    assert log_config("local", 1)["Config"]["max-size"] == str(1024 * 1024)


def test_other_log_drivers_get_no_options() -> None:
    """They would refuse what they do not know."""
    assert log_config("journald", 1) == {"Type": "journald"}


def test_container_of_one_command_runs_it_as_it_is() -> None:
    """An argv needs no shell; there is no gate, so there is no standard input."""
    commands = (a_command(argv=("migrate", "--all")), a_command(line="echo $HOME"))
    spec = a_spec(commands=commands)
    first, second = (
        container_config(RELEASE, spec, Secrets(), IMAGE, single(spec, index), {"Type": "local"}, DAEMON)
        for index in range(2)
    )
    assert (first["Cmd"], second["Cmd"]) == (["migrate", "--all"], ["/bin/sh", "-c", "echo $HOME"])
    assert (first["OpenStdin"], first["AttachStdin"]) == (False, False)
    assert first["Labels"]["releasephase.command"] == "0"
    assert second["Labels"]["releasephase.command-labels"] == commands[1].label
    assert name_of(RELEASE, spec, 1) == "release-shop-live-0000000000a1-1"


def test_nonce_can_be_read_back_from_the_arguments() -> None:
    """By a daemon that finds the container again."""
    assert nonce_in(config(a_spec("true"))["Cmd"]) == NONCE


@pytest.mark.parametrize("arguments", [None, [], ["sleep", "1"], ["/bin/sh", "-c", "true", "sh", NONCE]])
def test_other_arguments_have_no_nonce(arguments: list[str] | None) -> None:
    """A container may have our labels and not be ours."""
    assert nonce_in(arguments) == ""


def test_environment_has_the_values_and_the_releases_own_variables() -> None:
    """The release's own can't be overridden: a command may rely on them."""
    secrets = Secrets(environment={"DATABASE_URL": "postgres://u:p@db/x=y", "RELEASE_COMMAND": "no"})
    assert sorted(config(a_spec("true"), secrets)["Env"]) == sorted(
        ["DATABASE_URL=postgres://u:p@db/x=y", *OWN_VARIABLES]
    )


def test_values_and_credentials_are_nowhere_else() -> None:
    """Not in a label, an argument or the name, which everybody sees."""
    secrets = Secrets(environment={"TOKEN": "s3cret"}, registry_auth=RegistryAuth("ci", "passw0rd"))
    configuration = config(a_spec("true", environment_names=("TOKEN",)), secrets)
    del configuration["Env"]
    assert "s3cret" not in str(configuration)
    assert "passw0rd" not in str(configuration)


def test_argv_is_quoted_into_a_line() -> None:
    """Each argument stays one, whatever is in it."""
    command = a_command(argv=("printf", "%s\n", "two words", "it's", "$HOME", ""))
    spec = a_spec(commands=(command,))
    assert supervised(spec, NONCE).arguments[5:] == ["""=printf '%s\n' 'two words' 'it'"'"'s' '$HOME' ''"""]


def test_line_is_passed_on_as_it_is() -> None:
    """Quotes, newlines and all: it is the shell's to read."""
    line = "a='b c'\necho \"$a\" | cat; exit 3"
    assert supervised(a_spec(line), NONCE).arguments[5:] == [f"={line}"]


def test_supervisor_is_told_what_may_fail_and_what_is_not_run() -> None:
    """By a sign in front of the line, and by no line at all."""
    commands = (a_command(line="-x", allow_failure=True), a_command(line="b", skip_reason="it is done"))
    assert supervised(a_spec(commands=commands), NONCE).arguments[5:] == ["--x", ""]


def test_container_has_a_telling_name() -> None:
    """Somebody who reads `docker ps` knows what it is."""
    assert name_of(RELEASE, a_spec("true")) == "release-shop-live-0000000000a1"


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (name_of(RELEASE, a_spec("true")), True),
        (name_of(RELEASE, a_spec("true"), 12), True),
        (name_of(OTHER_RELEASE, a_spec("true")), False),
        ("vibrant_wing", False),
        ("shop-0000000000a1", False),
        (name_of(RELEASE, a_spec("true")) + "-copy", False),
    ],
)
def test_container_of_a_release_is_known_by_its_name(name: str, is_ours: bool) -> None:
    """Its labels are copied into an image that is made of it, and its name is not."""
    assert is_name_of(name, RELEASE) is is_ours
