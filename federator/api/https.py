"""What issuers show over https: their own descriptions, and their keys."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp

ANSWER_S = 10.0
"""For a whole answer."""
MOST_BYTES = 2**20


class Https:
    """Gets texts over https. ``ca_file``: PEM, the only authorities to be trusted; None: those of the machine.

    The file is read for every text, so one that was renewed holds at once. Proxies are those of the environment.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file

    def context(self) -> ssl.SSLContext:
        """Whom we believe. Raises OSError (ssl.SSLError is one) where the file cannot be read."""
        return ssl.create_default_context(cafile=self._ca_file)

    async def __call__(self, url: str) -> str:
        """The text at an address; redirects are not followed. Raises OSError."""
        context = await asyncio.to_thread(self.context)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S), trust_env=True) as session,
                session.get(url, ssl=context, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise OSError(f"{url} answered with status {answer.status}")
                return (await _whole(answer)).decode()
        except TimeoutError as error:
            raise OSError(f"{url}: no answer within {ANSWER_S:g} s") from error
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            raise OSError(f"{url}: {error or type(error).__name__}") from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """All pieces of an answer. Raises OSError for more than anybody's keys."""
    text = bytearray()
    async for piece in answer.content.iter_any():
        text += piece
        if len(text) > MOST_BYTES:
            raise OSError(f"{answer.url} answered with more than {MOST_BYTES} bytes")
    return bytes(text)
