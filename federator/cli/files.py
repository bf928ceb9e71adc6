"""FILES as the offline commands take them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from federator.cli.output import complain
from federator.documents import Documents, read_files

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILES...", help="Files, folders, or - for standard input.")
]


def read(files: Sequence[str]) -> Documents:
    """The documents in files, warnings told on standard error. Raises DocumentErrors."""
    documents = read_files(files, stdin=sys.stdin.buffer)
    for warning in documents.warnings:
        complain(f"warning: {warning}")
    return documents
