"""What goes with a job whose checkpoints are kept, where none of our agents is: ``federator.companion``, packed with
the addresses that it needs. For direct jobs on Slurm and HTCondor, and for pods. Pure, but for our own sources.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import federator
from federator.companion import TOLD
from federator.model.checkpoints import GOOD_FOR_S, Attempt, NoStore, Sign, errand, signed
from federator.model.indexset import IndexSet
from federator.ports import OrderRefused

PARTS = ("__init__", "companion", "keep", "keeper", "telling")
WHEN = (1980, 1, 1, 0, 0, 0)
"""The same sources make the same file."""
NO_PYTHON = 78
"""The exit status of a job whose node has no Python to carry checkpoints."""
NO_PYTHON_WORDS = "there is no python3 (3.9 or newer) here, which carries checkpoints"
CHECK = (
    'python3 -I -S -c "import sys; sys.exit(sys.version_info < (3, 9))" 2>/dev/null || '
    f'{{ echo "federator: {NO_PYTHON_WORDS}" >&2; exit {NO_PYTHON}; }}'
)
"""A line of a shell."""
PYTHON = "python3 -I -S"
START = f"""\
import sys

if sys.version_info < (3, 9):  # whatever Python it is, it can read so far
    sys.stderr.write("federator: {NO_PYTHON_WORDS}\\n")
    sys.exit({NO_PYTHON})

from federator.companion import main

sys.exit(main(sys.argv[1:]))
"""


def addresses(attempt: Attempt, indices: IndexSet, sign: Sign, now_s: float, *, again: bool = False) -> dict[str, Any]:
    """What a companion is told of where checkpoints are, and is told anew before it is good no more: part of
    ``companion.TOLD``. Raises OrderRefused."""
    until_s = now_s + GOOD_FOR_S if is_signed(attempt) else None
    return {"errands": errands(attempt, indices, sign, again=again), "goodUntil": until_s}


def errands(attempt: Attempt, indices: IndexSet, sign: Sign, *, again: bool = False) -> dict[str, Any]:
    """Where the checkpoints of these replicas are, by index. Raises OrderRefused where nobody here can reach them."""
    try:
        return {str(index): errand(attempt, index, sign, again=again) for index in indices}
    except NoStore as error:
        raise OrderRefused("NoStore", str(error), permanent=True) from error


def is_signed(attempt: Attempt | None) -> bool:
    """Whether addresses of its checkpoints are good for a while only."""
    return attempt is not None and signed(attempt.kept.url)


def pack(told: Mapping[str, Any]) -> bytes:
    """The companion as one file that Python runs. ``told``: as ``companion.TOLD`` says."""
    made = io.BytesIO(_program())
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"federator/{TOLD}", WHEN), json.dumps(told), zipfile.ZIP_DEFLATED)
    return made.getvalue()


@functools.cache
def _program() -> bytes:
    root, made = Path(federator.__file__).parent, io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in PARTS:
            name = f"federator/{part}.py"
            archive.writestr(zipfile.ZipInfo(name, WHEN), (root / f"{part}.py").read_bytes(), zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("__main__.py", WHEN), START, zipfile.ZIP_DEFLATED)
    return made.getvalue()
