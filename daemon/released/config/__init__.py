"""The daemon's configuration: a TOML file in which every key has a default and unknown keys are refused."""

from released.config.access import AccessConfig, Grant
from released.config.current import Configuration
from released.config.loading import DEFAULT_PATH, ConfigFile, load
from released.config.policy import MountRule, PolicyTable
from released.config.tables import (
    RESERVE_BYTES,
    AuditConfig,
    Config,
    EngineConfig,
    Keep,
    MetricsConfig,
    RegistryConfig,
    ReleasesConfig,
    SecretsConfig,
    ServerConfig,
)

__all__ = [
    "DEFAULT_PATH",
    "RESERVE_BYTES",
    "AccessConfig",
    "AuditConfig",
    "Config",
    "ConfigFile",
    "Configuration",
    "EngineConfig",
    "Grant",
    "Keep",
    "MetricsConfig",
    "MountRule",
    "PolicyTable",
    "RegistryConfig",
    "ReleasesConfig",
    "SecretsConfig",
    "ServerConfig",
    "load",
]
