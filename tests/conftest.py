"""How property tests run: the same examples every time, and no limit on how long one takes, for machines are slow.

``pytest --hypothesis-profile=searching`` looks for new examples instead. And what tests start can be interrupted, as
from a terminal, though a shell that ran them in the background has had SIGINT ignored.
"""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)

settings.register_profile("steady", PATIENT, derandomize=True)
settings.register_profile("searching", PATIENT)
settings.load_profile("steady")

signal.signal(signal.SIGINT, signal.default_int_handler)

# What several rooms of tests share is told in full when it fails, whoever imports it first.
pytest.register_assert_rewrite("tests.contracts.provider_contract", "tests.contracts.harness")
