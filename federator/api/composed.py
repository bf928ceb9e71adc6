"""Access and the API's settings, as a Configuration says."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from federator.api.access import Access
from federator.api.call import Audit, Kept
from federator.api.https import Https
from federator.api.jwks import parse
from federator.api.jwt import IssuerSettings, JwtIssuers
from federator.api.settings import ApiSettings
from federator.documents import Configuration, DocumentErrors, Problem
from federator.documents.issuers import IssuerPart
from federator.model.records import Token


def make_access(configuration: Configuration, tokens: Iterable[Token]) -> Access:
    """Who may do what. Raises DocumentErrors for an issuer that cannot be used."""
    part = configuration.access
    issuers = [_issuer(configuration, index, one) for index, one in enumerate(part.issuers)]
    return Access(
        tokens,
        JwtIssuers(issuers, lambda one: Https(one.ca_file)) if issuers else None,
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


def _issuer(configuration: Configuration, index: int, part: IssuerPart) -> IssuerSettings:
    """Raises DocumentErrors for a file that cannot be used."""
    place = f"spec.access.issuers[{index}]"
    keys = configuration.resolve(part.jwks_file) if part.jwks_file else None
    authorities = configuration.resolve(part.ca_file) if part.ca_file else None
    try:
        if keys is not None:
            parse(keys.read_text())
    except (OSError, ValueError) as error:
        raise _unusable(configuration, f"{place}.jwksFile", keys, error, "give a JSON Web Key Set") from error
    try:
        Https(authorities).context()
    except OSError as error:
        raise _unusable(configuration, f"{place}.caFile", authorities, error, "give PEM certificates") from error
    return IssuerSettings(
        name=part.user_domain,
        issuer=part.issuer,
        audiences=(part.audience,),
        jwks_file=keys,
        jwks_url=part.jwks_url or "",
        ca_file=authorities,
        hold_s=part.keep_keys,
        groups={group: may.queues for group, may in part.groups.items() if "submitter" in may.roles},
        operators=tuple(group for group, may in part.groups.items() if "operator" in may.roles),
    )


def _unusable(
    configuration: Configuration, place: str, path: Path | None, error: Exception, cure: str
) -> DocumentErrors:
    why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else str(error)
    return DocumentErrors([Problem(configuration.source, 0, 0, place, f"{path} cannot be used: {why}", cure)])
