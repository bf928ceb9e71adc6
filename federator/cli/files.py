"""FILES as the offline commands take them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import complain
from federator.documents import Documents, read_files

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILES...", help="Files, folders, or - for standard input.")
]


def read(files: Sequence[str]) -> Documents:
    """The documents in files, warnings told on standard error. Raises DocumentErrors; Failure where there is none."""
    documents = read_files(files, stdin=sys.stdin.buffer)
    for warning in documents.warnings:
        complain(f"warning: {warning}")
    if not documents.all:
        raise Failure(f"there is no document in {', '.join(map(str, files))}", WRONG_INPUT)
    return documents


def warn_of_none(documents: Documents, policies: Path) -> None:
    """Tell where ``policies``, that were to take the place of others, hold none: it may be a slip."""
    if not documents.policies:
        complain(f"warning: there is no policy in {policies}, so none governs")
