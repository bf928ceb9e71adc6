"""What became of a replica's checkpoints, told from where it runs: one line, written anew with each change.

``clusters.companions`` reads it. Travels with companions: standard library only; Python 3.9 or newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any

MARK = "federator: checkpoints "
"""How the line begins; JSON follows: a number for each outcome, and ``why``, the words of the latest trouble."""
TROUBLE = ("failed", "damaged")
WHY = 200
"""The most characters of these words."""
INDEX = "{index}"
"""In the name of a place, the replica."""
CHIRP, ATTRIBUTE = "chirp", "ChirpFederatorCheckpoints"
"""A place that is an attribute of the job's ad, which HTCondor's starter takes on loopback and carries to the schedd. A
job may set only those whose names begin so."""
CHIRP_FILE = "_CONDOR_CHIRP_CONFIG", "_CONDOR_SCRATCH_DIR"
CHIRP_S = 2.0
"""The longest that the starter is waited for."""


class Telling:
    """Of one replica. Whatever hinders it is said once, and hinders nothing else."""

    def __init__(self, place: str, index: str, say: Callable[[str], None]) -> None:
        """``place``: a file, in which others may write too, or ``CHIRP``; empty: nobody asks."""
        self._place = place.replace(INDEX, index)
        self._say = say
        self._hindered = False
        self._at = self._ends = -1
        """Where our line is in the file."""
        self._told: dict[str, Any] = {} if self._place == CHIRP else self._before()

    def hear(self, outcome: str, words: str) -> None:
        """One checkpoint more of which this became."""
        if not self._place or not outcome:
            return
        self._told[outcome] = self._told.get(outcome, 0) + 1
        if outcome in TROUBLE:
            self._told["why"] = words[:WHY]
        line = MARK + json.dumps(self._told, separators=(",", ":"))
        try:
            if self._place == CHIRP:
                chirp(ATTRIBUTE, line)
            else:
                self._write(line.encode() + b"\n")
        except (OSError, ValueError) as error:
            if not self._hindered:
                self._say(f"nobody is told what becomes of checkpoints: {getattr(error, 'strerror', None) or error}")
            self._hindered = True

    def _before(self) -> dict[str, Any]:
        """What was told for the same replica before, by who ran it and has ended."""
        with contextlib.suppress(OSError, ValueError), open(self._place, "rb") as file:
            kept = file.read()
            at = kept.rfind(MARK.encode())
            if at >= 0:
                told: dict[str, Any] = json.loads(kept[at + len(MARK) :])
                self._at, self._ends = at, len(kept)
                return told
        return {}

    def _write(self, line: bytes) -> None:
        """In place of what we wrote last, unless somebody has written since: then below that."""
        with os.fdopen(os.open(self._place, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if self._ends != end:
                file.seek(max(0, end - 1))
                below = file.read(1) not in (b"", b"\n")
                self._at = end + below
                file.write(b"\n" * below)
            file.seek(self._at)
            file.write(line)
            file.truncate()
        self._ends = self._at + len(line)


def chirp(name: str, value: str) -> None:
    """Have the starter set an attribute of the job's ad when it next tells the schedd of it, or with its end. Raises
    OSError, ValueError."""
    path = os.environ.get(CHIRP_FILE[0]) or os.path.join(os.environ.get(CHIRP_FILE[1], "."), ".chirp.config")
    with open(path, encoding="utf-8") as file:
        host, port, cookie = file.read().split()
    with socket.create_connection((host, int(port)), CHIRP_S) as line, line.makefile("rb") as answers:
        for words in (("cookie", cookie), ("set_job_attr_delayed", name, json.dumps(value))):
            line.sendall(" ".join(map(_word, words)).encode() + b"\n")
            answer = answers.readline().strip()
            if int(answer or b"-1") < 0:
                raise ValueError(f"the starter answers {answer.decode(errors='replace') or 'nothing'} to {words[0]}")


def _word(word: str) -> str:
    """As one word of the protocol."""
    return "".join("\\" + letter if letter in "\\ \t\r\n" else letter for letter in word)
