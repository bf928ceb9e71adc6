"""How property tests run: the same examples every time, and no limit on how long one takes, for machines are slow.

``pytest --hypothesis-profile=searching`` looks for new examples instead. What tests start can be interrupted, as
from a terminal, though a shell that ran them in the background has had SIGINT ignored. And what many rooms use.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.web_store import WebStore

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)

settings.register_profile("steady", PATIENT, derandomize=True)
settings.register_profile("searching", PATIENT)
settings.load_profile("steady")

signal.signal(signal.SIGINT, signal.default_int_handler)

# What several rooms of tests share is told in full when it fails, whoever imports it first.
pytest.register_assert_rewrite("tests.contracts.provider_contract", "tests.contracts.harness")


@pytest.fixture
def web() -> Iterator[WebStore]:
    """A place for checkpoints."""
    store = WebStore()
    yield store
    store.stop()
