"""Keeps the checkpoints of one task, for whoever runs it: fetched before it starts, put while it runs and when it has
ended, dropped when it is complete. Standard library only.

Nothing here waits: what takes long is done by ``keep`` in processes of their own, one at a time, and every call looks
how far it has come. What goes wrong is told and tried again at the next turn; the task goes on.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]
Tell = Callable[[str, str], None]
"""Takes an outcome (``kept``, ``failed``, ``resumed``, ``damaged``) and words for people; "": none."""

PATIENCE_S = 60.0
"""How long a task waits for a store that is away before it begins anew."""
LAST_S = 60.0
"""So long the last checkpoint may take where nobody waits for the room."""
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


@functools.cache
def program() -> str:
    """What carries. Read once: the file that we are packed in may be gone when it is needed again."""
    source = pkgutil.get_data("federator", "keep.py")
    assert source is not None
    return source.decode()


class Errand:
    """One errand on its way."""

    def __init__(self, errand: Json) -> None:
        """Send it. Raises OSError."""
        # Sites tell all of a job at once to end: what carries the last checkpoint is deaf to that.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            self._process = subprocess.Popen(
                [sys.executable or "python3", "-I", "-S", "-c", program()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env={n: value for n, value in os.environ.items() if n in PASSED_ON or n.lower() in PASSED_ON},
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as file:
            file.write(json.dumps(errand).encode())
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._said = b""

    def answer(self) -> dict[str, Any] | None:
        """What came of it; None while it is on its way."""
        while piece := self._output.read(65536):
            self._said += piece
        if piece is None:
            return None
        self._output.close()
        self._process.wait()
        try:
            answer: dict[str, Any] = json.loads(self._said)
        except ValueError:
            answer = {"trouble": "it was broken off"}
        return answer

    def break_off(self) -> None:
        """End it at once; what was kept before stays whole."""
        self._process.kill()


class Keeper:
    """The checkpoints of one attempt at a task. Times are of the monotonic clock."""

    def __init__(self, told: Json, folder: str, tell: Tell) -> None:
        """``told``: where things are, as ``model.checkpoints.errand`` makes it. ``folder``: for the task, made here;
        drafts are written beside it."""
        self.told = told
        """May be exchanged for one whose addresses are good for longer."""
        self.folder = folder
        self._tell = tell
        self._errand: Errand | None = None
        self._ready = False
        self._worked_s = 0.0
        self._since = 0.0
        self._last: Any = None
        self._slot = 0
        self._next_at = 0.0
        self._drops_earlier = False
        """Whether what was kept before is dropped as soon as something of ours is, which holds all that it holds."""
        self._last_until: float | None = None
        self._over = False

    @property
    def busy(self) -> bool:
        """Whether there is an errand on its way."""
        return self._errand is not None

    @property
    def due_at(self) -> float:
        """When the next checkpoint is put."""
        return self._next_at

    def ready(self) -> bool:
        """Whether the folder is there, with what was kept for the task."""
        if self._ready:
            return True
        if self._errand is None:
            self._send({"do": "fetch", "get": self.told["get"], "patience_s": PATIENCE_S})
        answer = self._answer()
        if answer is None:
            return False
        if "trouble" in answer:  # the disk of this node: the folder is made here, or nothing can run
            self._tell("failed", f"nothing could be fetched: {answer['trouble']}")
            os.makedirs(self.folder, 0o700, exist_ok=True)
        for words in answer.get("wrong", ()):
            self._tell("damaged", f"a checkpoint was passed over: {words}")
        if answer.get("worked_s") is not None:
            self._worked_s = answer["worked_s"]
            self._tell("resumed", f"goes on from a checkpoint with {self._worked_s:.0f} s of work in it")
        elif answer.get("wrong"):
            self._tell("", "begins anew")
        if not answer.get("wrong") and "trouble" not in answer:
            self._drops_earlier = True
        self._ready = True
        self._since = time.monotonic()
        self._next_at = self._since + self.told["everySeconds"]
        return True

    def step(self) -> None:
        """While the task runs: put what it has when it is time."""
        self._look()
        if self._errand is None and time.monotonic() >= self._next_at:
            self._put()
            self._next_at = time.monotonic() + self.told["everySeconds"]

    def finish(self, until: float | None) -> bool:
        """When the task has ended and is not complete: put what it has once more, by ``until`` if others wait for the
        room; True once that is done, or it is too late."""
        if self._over or not self._ready:
            self.break_off()
            return True
        now = time.monotonic()
        if self._last_until is None:
            self._last_until = now + LAST_S if until is None else until
            self._next_at = now
        self._look()
        if self._errand is None and self._next_at is not None and now >= self._next_at:
            self._put()
            self._next_at = float("inf")
            return False
        if self._errand is None:
            self._over = True
        elif now >= self._last_until:
            self._tell("failed", "the last checkpoint was not kept in time")
            self.break_off()
            self._over = True
        return self._over

    def drop(self) -> None:
        """The task is complete: leave nothing."""
        self.break_off()
        self._send({"do": "drop", "places": self.told["drop"]})

    def dropped(self) -> bool:
        """Whether the errand of ``drop`` is over."""
        answer = self._answer() if self._errand is not None else {}
        for words in (answer or {}).get("wrong", ())[:1]:
            self._tell("failed", f"a checkpoint could not be dropped: {words}")
        return answer is not None

    def break_off(self) -> None:
        """Nothing more is wanted of what is on its way."""
        if self._errand is not None:
            self._errand.break_off()
            self._errand = None

    def _put(self) -> None:
        worked_s = self._worked_s + time.monotonic() - self._since
        place = self.told["put"][self._slot]
        self._send({"do": "save", "put": place, "worked_s": worked_s, "last": self._last})

    def _look(self) -> None:
        answer = self._answer() if self._errand is not None else None
        if answer is None:
            return
        if "trouble" in answer:
            self._tell("failed", f"a checkpoint was not kept: {answer['trouble']}")
        elif answer.get("put"):
            self._slot = 1 - self._slot
            self._last = answer["last"]
            self._tell("kept", "")
            earlier = self.told["drop"][len(self.told["put"]) :]
            if self._drops_earlier and earlier:
                self._send({"do": "drop", "places": earlier})
            self._drops_earlier = False

    def _send(self, errand: dict[str, Any]) -> None:
        common = {"folder": self.folder, "draft": f"{self.folder}.draft", "limitBytes": self.told["limitBytes"]}
        try:
            self._errand = Errand({**common, **errand})
        except OSError as error:
            self._tell("failed", f"no process for a checkpoint: {error.strerror}")

    def _answer(self) -> dict[str, Any] | None:
        if self._errand is None:
            return {"trouble": "it could not be begun"}
        answer = self._errand.answer()
        if answer is not None:
            self._errand = None
        return answer
