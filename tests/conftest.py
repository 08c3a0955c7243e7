"""Fixtures for all tests live in tests/support, one module for each thing around the product."""

import signal

pytest_plugins = [
    "support.engine",
    "support.registry",
    "support.django",
    "support.app",
    "support.application_settings",
    "support.engine_trouble",
    "support.web",
    "support.installed",
    "support.users",
    "support.scripted_service",
]

# A shell ignores SIGINT for what it runs in the background, and every child inherits that:
# our tests are to press Ctrl-C on theirs, however they were started themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
