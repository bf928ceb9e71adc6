"""What is compiled at installation is all that a plan needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from federator.engine import aims, binding, division, filling, fit, matching, plain_turns, rows, seating, shapes
from federator.engine.compiled import drop_stale
from federator.engine.warm import warm

ENTRIES = [
    aims.take_aims,
    binding.bind_everywhere,
    division.divided,
    filling.fill_tiers,
    filling.look,
    fit.fits,
    matching.match,
    plain_turns.take_turns,
    rows.keep_remains,
    rows.rooms,
    seating.bind_in_turn,
    shapes.terms_of,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_the_small_federation_needs_every_compiled_loop(entry: object) -> None:
    """Calls from compiled code whose arguments are constants are compiled with these, and count apart."""
    assert warm().placements
    signatures = entry.signatures  # type: ignore[attr-defined]
    assert len([one for one in signatures if "Literal" not in str(one)]) == 1


def test_what_was_compiled_before_any_source_changed_is_not_used(tmp_path: Path) -> None:
    """A function holds the constants of other files, so its own file says too little."""
    (tmp_path / "__pycache__").mkdir()
    kept, stale = (tmp_path / "__pycache__" / name for name in ("kept.nbi", "stale.nbi"))
    for file, at_s in ((stale, 100), (tmp_path / "rows.py", 200), (kept, 300)):
        file.touch()
        os.utime(file, (at_s, at_s))
    drop_stale(tmp_path)
    assert kept.exists()
    assert not stale.exists()
