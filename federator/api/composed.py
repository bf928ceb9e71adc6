"""Access and the API's settings, as a Configuration says."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import aiohttp

from federator.api.access import Access
from federator.api.call import Audit, Kept
from federator.api.jwt import IssuerSettings, JwtIssuers
from federator.api.settings import ApiSettings
from federator.documents import Configuration, DocumentErrors, Problem
from federator.documents.configuration import IssuerPart
from federator.model.records import Token

FETCH_S = 10.0
MAX_KEYS_BYTES = 2**20


def make_access(configuration: Configuration, tokens: Iterable[Token]) -> Access:
    """Who may do what. Raises DocumentErrors for an issuer that cannot be used."""
    part = configuration.access
    issuers = [_issuer(configuration, index, one) for index, one in enumerate(part.issuers)]
    return Access(
        tokens,
        JwtIssuers(issuers, fetch) if issuers else None,
        banned_users=part.banned.users,
        banned_queues=part.banned.queues,
    )


def make_settings(configuration: Configuration, kept: Kept, audit: Audit) -> ApiSettings:
    """Where the API listens and what it keeps."""
    listen = configuration.listen
    return ApiSettings(
        kept=kept,
        audit=audit,
        host=listen.host,
        port=listen.port,
        tls_cert=configuration.certificate,
        tls_key=configuration.key,
        behind_proxy=listen.behind_proxy,
        max_body_bytes=configuration.body_limit,
    )


async def fetch(url: str) -> str:
    """The text at an issuer's address. Raises OSError."""
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise OSError(f"{url} answered with status {answer.status}")
            return (await answer.content.read(MAX_KEYS_BYTES)).decode()
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
        raise OSError(f"{url}: {error or type(error).__name__}") from error


def _issuer(configuration: Configuration, index: int, part: IssuerPart) -> IssuerSettings:
    operators = tuple(group for group, may in part.groups.items() if "operator" in may.roles)
    try:
        return IssuerSettings(
            name=urlsplit(part.issuer).hostname or part.issuer,
            issuer=part.issuer,
            audiences=(part.audience,),
            jwks_file=configuration.resolve(part.jwks_file) if part.jwks_file else None,
            jwks_url=part.jwks_url or "",
            groups={group: may.queues for group, may in part.groups.items() if "submitter" in may.roles},
            operators=operators,
        )
    except ValueError as error:
        place = f"spec.access.issuers[{index}]"
        raise DocumentErrors([Problem(configuration.source, 0, 0, place, str(error))]) from error
