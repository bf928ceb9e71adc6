"""The application of the pretended project: counts, a tenth of a second of CPU time a step, saves each step, and hears
its client as BOINC's own library does: by messages in a file that both have mapped. Standard library only.

Started in a slot of the client with the number of steps as its argument; and, if there are more, with the step after
which it waits until there is such a file.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from pathlib import Path

CHANNEL = 1024
"""Bytes of a channel: one that says whether there is a message, then the message."""
CONTROL, STATUS = 0, 5
STEP_S = 0.1
SAVED, FINISHED = Path("count"), Path("boinc_finish_called")


def heard(shared: mmap.mmap) -> bytes:
    """What the client has said last, if it was not read yet."""
    at = CONTROL * CHANNEL
    if not shared[at]:
        return b""
    message = shared[at + 1 : at + CHANNEL].split(b"\0")[0]
    shared[at] = 0
    return message


def tell(shared: mmap.mmap, cpu_s: float, part: float) -> None:
    """Tell the client how far it is; all of it is saved."""
    at = STATUS * CHANNEL
    text = (
        f"<current_cpu_time>{cpu_s:e}</current_cpu_time>\n<checkpoint_cpu_time>{cpu_s:e}</checkpoint_cpu_time>\n"
        f"<fraction_done>{part:e}</fraction_done>\n"
    ).encode()
    shared[at + 1 : at + 1 + len(text) + 1] = text + b"\0"
    shared[at] = 1


def main(steps: int, waits_after: int = 0, gate: str = "") -> int:
    """Count from what is saved to the end; the exit status."""
    done = int(SAVED.read_text()) if SAVED.exists() else 0
    print(f"counts from {done} to {steps}", file=sys.stderr, flush=True)
    suspended = False
    with open("boinc_mmap_file", "r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
        while done < steps:
            message = heard(shared)
            if b"<quit/>" in message or b"<abort/>" in message:
                return 0
            suspended = b"<suspend/>" in message or (suspended and b"<resume/>" not in message)
            if suspended or (gate and done >= waits_after and not os.path.exists(gate)):
                time.sleep(STEP_S)
                continue
            until = time.process_time() + STEP_S
            while time.process_time() < until:
                sum(range(1000))
            done += 1
            SAVED.with_suffix(".new").write_text(str(done))
            os.replace(SAVED.with_suffix(".new"), SAVED)
            tell(shared, done * STEP_S, done / steps)
    print(f"counted to {done}", file=sys.stderr, flush=True)
    FINISHED.write_text("0\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:3]), *sys.argv[3:]))
