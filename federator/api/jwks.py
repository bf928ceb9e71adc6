"""The public keys of an issuer: fetched when first needed, kept, and looked up again for a key not seen before."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import jwt
import structlog

from federator.api.access import NotIdentified

log = structlog.get_logger(__name__)

Fetch = Callable[[str], Awaitable[str]]
"""Gets the text at a URL; raises OSError where it cannot."""

MAX_KEYS = 100
AGAIN_S = 60.0
"""Keys are asked for at most so often: anybody can send tokens that name keys which do not exist."""
STALE_S = 3600.0
"""Keys older than this are asked for again, so that one that was withdrawn does not stay good."""


class KeySet:
    """The keys of one issuer. ``source`` gives the text of its JWKS, or raises OSError; ``name`` is for the log."""

    def __init__(
        self, name: str, source: Callable[[], Awaitable[str]], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._source = source
        self._monotonic_s = monotonic_s
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_s: float | None = None
        self._tried_s: float | None = None
        self._reading = asyncio.Lock()

    async def find(self, kid: object) -> jwt.PyJWK:
        """The key of that id; without an id, the only key there is. Raises NotIdentified."""
        if self._lookup(kid) is None or self._age(self._read_s) > STALE_S:
            async with self._reading:
                # Others may have read them while we waited for our turn.
                wanted = self._lookup(kid) is None or self._age(self._read_s) > STALE_S
                if wanted and self._age(self._tried_s) > AGAIN_S:
                    await self._read()
        key = self._lookup(kid)
        if key is not None:
            return key
        if not self._keys:
            raise NotIdentified("the keys of the token's issuer cannot be had now; try again in a minute")
        raise NotIdentified("the token is signed with a key that its issuer does not show")

    def _lookup(self, kid: object) -> jwt.PyJWK | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _age(self, at_s: float | None) -> float:
        return float("inf") if at_s is None else self._monotonic_s() - at_s

    async def _read(self) -> None:
        """Take the issuer's keys; where they cannot be had, those from before stay."""
        self._tried_s = self._monotonic_s()
        try:
            found = parse(await self._source())
        except (OSError, ValueError) as error:
            log.warning("keys of an issuer cannot be read", issuer=self._name, detail=str(error), kept=len(self._keys))
            return
        self._keys, self._read_s = found, self._tried_s


def parse(text: str) -> dict[str | None, jwt.PyJWK]:
    """The keys of a JWKS that can check signatures, by their ids. Raises ValueError where there are none."""
    document = json.loads(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no JWKS: there is no list of keys")
    keys: dict[str | None, jwt.PyJWK] = {}
    for one in listed[:MAX_KEYS]:
        # A symmetric key in a public document is no key, and one for encryption signs nothing.
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        try:
            keys[one.get("kid")] = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # of a kind that nobody here can use; issuers show such keys beside the others
    if not keys:
        raise ValueError("none of its keys can check a signature")
    return keys


def from_file(path: Path) -> Callable[[], Awaitable[str]]:
    """Keys in a file."""
    return lambda: asyncio.to_thread(path.read_text)


def from_url(url: str, fetch: Fetch) -> Callable[[], Awaitable[str]]:
    """Keys at a URL."""
    return lambda: fetch(url)


def from_issuer(issuer: str, fetch: Fetch) -> Callable[[], Awaitable[str]]:
    """Keys where the issuer's own description says that they are; over https only."""

    async def read() -> str:
        description = json.loads(await fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        url = description.get("jwks_uri") if isinstance(description, dict) else None
        if not isinstance(url, str) or not url.startswith("https://"):
            raise ValueError("the issuer's description names no jwks_uri over https")
        return await fetch(url)

    return read
