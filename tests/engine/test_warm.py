"""What is compiled at installation is all that a plan needs."""

from __future__ import annotations

import pytest

from federator.engine import binding, division, filling, plain_turns, rows
from federator.engine.warm import warm

ENTRIES = [
    binding.bind_everywhere,
    division.divided,
    filling.fill_tiers,
    filling.look,
    plain_turns.take_turns,
    rows.keep_remains,
    rows.rooms,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_the_small_federation_needs_every_compiled_loop(entry: object) -> None:
    assert warm().placements
    assert len(entry.signatures) == 1  # type: ignore[attr-defined]
