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
HOLD_S = 86400.0
"""Keys that cannot be read again hold for so long."""


class KeySet:
    """The keys of one issuer. ``source`` gives the text of its JWKS, or raises OSError; ``name`` is for the log.

    Keys that cannot be read again are good until they are ``hold_s`` old.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[], Awaitable[str]],
        monotonic_s: Callable[[], float] = time.monotonic,
        hold_s: float = HOLD_S,
    ) -> None:
        self._name = name
        self._source = source
        self._monotonic_s = monotonic_s
        self._hold_s = hold_s
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_s: float | None = None
        self._tried_s: float | None = None
        self._reading = asyncio.Lock()

    async def find(self, kid: object) -> jwt.PyJWK:
        """The key of that id; without an id, the only key there is. Raises NotIdentified.

        One caller asks the issuer; others wait for it only where they cannot do with the keys that are here.
        """
        if self._is_due(kid) or (self._lookup(kid) is None and self._reading.locked()):
            async with self._reading:
                if self._is_due(kid):
                    await self._read()
        key = self._lookup(kid)
        if key is not None:
            return key
        if self._age(self._read_s) <= self._hold_s:
            raise NotIdentified("the token is signed with a key that its issuer does not show")
        raise NotIdentified(
            "the keys of the token's issuer cannot be had now; try again in a minute, or tell an operator"
        )

    def _is_due(self, kid: object) -> bool:
        """Whether the issuer should be asked now."""
        wanted = self._lookup(kid) is None or self._age(self._read_s) > STALE_S
        return wanted and self._age(self._tried_s) > AGAIN_S

    def _lookup(self, kid: object) -> jwt.PyJWK | None:
        if self._age(self._read_s) > self._hold_s:
            return None
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
            left_s = max(0.0, self._hold_s - self._age(self._read_s))
            log.warning("keys of an issuer cannot be read", issuer=self._name, detail=str(error), hold_s=round(left_s))
            return
        if found.keys() != self._keys.keys():
            log.info("keys of an issuer", issuer=self._name, keys=sorted(map(str, found)))
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
    """Keys where the issuer's own description says that they are; over https only.

    Source: OpenID Connect Discovery 1.0, sections 4.1 and 4.3 (the description must name the same issuer).
    """

    async def read() -> str:
        description = json.loads(await fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        told = description if isinstance(description, dict) else {}
        if told.get("issuer") != issuer:
            raise ValueError(f"the description at {issuer} is not its own: its issuer is {_short(told.get('issuer'))}")
        url = told.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith("https://"):
            raise ValueError(f"the description at {issuer} names no jwks_uri over https but {_short(url)}")
        return await fetch(url)

    return read


def _short(told: object) -> str:
    """What somebody else has written, for a log."""
    text = "missing" if told is None else repr(told)
    return text if len(text) <= 200 else f"{text[:200]}…"
