"""What every test shares: no model hub, and the same examples on every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Everything that the tests need is installed; a test that asks a hub would only hang without one.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# derandomize: a test run is a function of the code alone. No deadline: the machine may be busy.
settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("project")
