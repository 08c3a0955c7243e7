"""How properties are checked: the same examples in every run, however slow the machine is."""

from hypothesis import HealthCheck, settings

deterministic = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
