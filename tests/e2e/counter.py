"""A payload that counts, keeps what it has, and can be stopped at any time.

    python counter.py FOLDER STEPS

It goes on from FEDERATOR_CHECKPOINT_DIR, writes a line ``INDEX CLUSTER STEP`` to FOLDER/starts where it begins, waits
at its last step but one until FOLDER/finish is there, and writes its sum to FOLDER/result-INDEX when it is done.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def term(index: int, step: int) -> int:
    """What a step adds."""
    return (index * 1_000_003 + step * step) % 1_009


def main() -> int:
    """Count until done (0) or told to end (75)."""
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    index, kept = int(os.environ["FEDERATOR_REPLICA_INDEX"]), Path(os.environ["FEDERATOR_CHECKPOINT_DIR"])
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    state = json.loads((kept / "state").read_text()) if (kept / "state").exists() else {"step": 0, "sum": 0}
    with (folder / "starts").open("a") as starts:
        starts.write(f"{index} {os.environ['FEDERATOR_CLUSTER']} {state['step']}\n")
    looks = 0
    while state["step"] < steps and not asked:
        looks += 1
        if state["step"] < steps - 1 or (folder / "finish").exists():
            state = {"step": state["step"] + 1, "sum": state["sum"] + term(index, state["step"])}
        if looks % 10 == 0:
            write(kept / "state", state)
        time.sleep(0.02)
    write(kept / "state", state)
    if state["step"] < steps:
        return 75
    write(folder / f"result-{index}", state["sum"])
    return 0


def write(path: Path, value: object) -> None:
    """In one step."""
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(json.dumps(value))
    draft.rename(path)


if __name__ == "__main__":
    sys.exit(main())
