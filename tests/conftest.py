"""Fixtures for all tests live in tests/support, one module for each thing around the product."""

pytest_plugins = ["support.engine", "support.registry", "support.django", "support.app"]
