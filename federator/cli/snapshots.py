"""snapshot: the live federation as documents."""

from __future__ import annotations

import sys

from federator.cli.connection import ServerOption, TokenOption
from federator.cli.output import Format, FormatOption, document, say, yaml_text
from federator.cli.running import with_client


def snapshot(form: FormatOption = Format.YAML, server: ServerOption = None, token_file: TokenOption = None) -> None:
    """Print the live federation as documents, for `plan` and for bug reports."""
    items = with_client(server, token_file, lambda client: client.get("/snapshot"))["items"]
    if form is Format.JSON:
        document({"apiVersion": "v1", "kind": "List", "items": items}, form)
    elif form is Format.NAME:
        for one in items:
            say(f"{one['kind'].lower()}/{one['metadata']['name']}")
    else:
        sys.stdout.write(yaml_text(*items))
