"""A payload has ended when nothing of it is left."""

from __future__ import annotations

import os
from pathlib import Path

from federator.pilot.command import MARKER, Command
from federator.pilot.payload import Payload

GRANT = {"lease": "l", "requests": {}, "timeLimitSeconds": None, "graceSeconds": 5.0, "runtime": "process"}


def test_one_whose_first_process_dies_at_once_is_not_over_before_its_orphans_were_looked_for(tmp_path: Path) -> None:
    """Told to end it dies before the same look goes on; what it leaves comes to the pilot only when it is reaped."""
    command = Command(("sleep", "600"), {"PATH": os.environ["PATH"], MARKER: str(tmp_path)}, str(tmp_path))
    payload = Payload(GRANT, command, tmp_path, ())
    payload.stop("Stopped", "not wanted", 5.0)
    os.waitid(os.P_PID, payload.pid, os.WEXITED | os.WNOWAIT)
    assert not payload.step(), "nobody has looked for orphans since"
    payload.reap()
    assert payload.step()
