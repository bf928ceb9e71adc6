"""Tokens that are renewed in their files while a command is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.api.access import Role, new_token
from federator.cli.client import Client
from federator.cli.connection import connect
from federator.cli.failures import Refused
from tests.cli.conftest import Api


async def test_a_token_that_was_renewed_in_its_file_is_sent_from_then_on(api: Api, tmp_path: Path) -> None:
    """As those of outside issuers are, every hour. A file that is away for a moment stops nobody."""
    first, known = new_token("first", [Role.READER])
    second, renewed = new_token("second", [Role.READER])
    file = tmp_path / "token"
    file.write_text(first)
    api.access.set_tokens([known])
    async with Client(connect(api.url, file)) as client:
        await client.get("/workloads")
        file.unlink()
        await client.get("/workloads")
        api.access.set_tokens([renewed])
        with pytest.raises(Refused, match="not known"):
            await client.get("/workloads")
        file.write_text(second)
        await client.get("/workloads")
