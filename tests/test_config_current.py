"""The configuration that counts: what of a new one counts at once, and who is told."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.config import AuditConfig, Config, Configuration, EngineConfig, ReleasesConfig, ServerConfig
from released.config.current import AT_START, Change

ELSEWHERE = ServerConfig(socket=Path("/elsewhere"), max_connections_per_user=5)

configs = st.builds(
    Config,
    server=st.builds(
        ServerConfig,
        socket=st.sampled_from([Path("/a"), Path("/b")]),
        max_connections_per_user=st.integers(1, 3),
    ),
    engine=st.builds(
        EngineConfig, url=st.sampled_from(["", "unix:///e"]), patience=st.sampled_from([1.0, 2.0])
    ),
    audit=st.builds(AuditConfig, path=st.sampled_from([Path("/c"), Path("/d")])),
    releases=st.builds(ReleasesConfig, max_concurrent=st.integers(1, 3)),
)


def value(config: Config, key: str) -> object:
    """What a configuration has for `[table] key`."""
    table, name = key.removeprefix("[").split("] ")
    return getattr(getattr(config, table), name)


def test_change_names_what_counts_at_once_and_what_waits_for_a_restart() -> None:
    """Keys as the file has them, in its order; what is the same is not named."""
    configuration = Configuration(Config())
    loaded = Config(server=ELSEWHERE, releases=ReleasesConfig(stop_grace=1.0, max_concurrent=2))
    assert configuration.compare(loaded) == Change(
        changed=("[server] max_connections_per_user", "[releases] max_concurrent", "[releases] stop_grace"),
        at_restart=("[server] socket",),
    )


@given(old=configs, new=configs)
def test_each_key_has_the_new_value_or_waits_with_the_old_one(old: Config, new: Config) -> None:
    """And reading the same again changes nothing more, while what waits is still named."""
    configuration = Configuration(old)
    change = configuration.compare(new)
    configuration.replace(new)
    for table, names in msgspec.to_builtins(new, enc_hook=str).items():
        for name in names:
            key = f"[{table}] {name}"
            counts = old if (table, name) in AT_START else new
            assert value(configuration.current, key) == value(counts, key)
            assert (key in change.changed + change.at_restart) == (value(old, key) != value(new, key))
    assert configuration.compare(new) == Change((), change.at_restart)


def test_what_counts_from_the_start_are_keys_of_the_configuration() -> None:
    """A key that is renamed is renamed there, too."""
    for table, name in AT_START:
        assert hasattr(getattr(Config(), table), name)


def test_everybody_is_told_what_counts_now(caplog: pytest.LogCaptureFixture) -> None:
    """Also after one who fails, which is a defect, and is logged."""
    configuration = Configuration(Config())
    told: list[Config] = []

    def fail(_: Config) -> None:
        raise LookupError("a defect")

    configuration.listen(fail)
    configuration.listen(told.append)
    configuration.replace(Config(server=ELSEWHERE))
    (config,) = told
    assert config is configuration.current
    assert config.server == ServerConfig(max_connections_per_user=5)
    assert "a defect" in caplog.text
