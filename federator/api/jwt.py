"""Tokens that others issue: JWTs of OIDC issuers (WLCG profile) and SciTokens, checked against their issuers' keys."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jwt

from federator.api.access import Identity, NotIdentified, Role
from federator.api.jwks import HOLD_S, Fetch, KeySet, from_file, from_issuer, from_url

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""All that is accepted, whatever a token or a key says: signatures that only an issuer's private key can make."""

ANY_AUDIENCE = ("ANY", "https://wlcg.cern.ch/jwt/v1/any")
"""Audiences that SciTokens and the WLCG profile give to tokens for whatever service."""

SCOPES: Mapping[str, str] = {
    "compute.read": "read",
    "compute.create": "submit",
    "compute.modify": "modify",
    "compute.cancel": "cancel",
}
"""Scopes and the actions they allow. Other scopes (of storage, or with a path) mean nothing here."""

SUBJECT = re.compile(r"[!-~]{1,255}")

MESSAGES: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is meant for another service (its audience)",
    jwt.InvalidIssuerError: "the token's issuer is not trusted here",
    jwt.InvalidAlgorithmError: "the token is not signed with RS256, ES256 or EdDSA by a key made for that",
    jwt.InvalidKeyError: "the token's key is too weak",
    jwt.InvalidSignatureError: "the token's signature does not match its issuer's key",
    jwt.MissingRequiredClaimError: "the token lacks one of the claims iss, sub, aud and exp",
    jwt.PyJWTError: "the token cannot be read",
}
"""What callers are told; the first class that fits. Claims are looked at only once the signature is known good."""


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """An issuer whose tokens are accepted.

    ``name`` is short and ours: identities are called ``SUBJECT@NAME``. ``issuer`` is the exact ``iss`` claim, and
    ``audiences`` are the ``aud`` claims that mean this federator. Keys come from ``jwks_file``, else from
    ``jwks_url``, else from where the issuer's ``.well-known/openid-configuration`` says; over https they come from
    servers that the authorities in ``ca_file`` know (None: the machine's).

    ``groups``: globs of groups (claims ``wlcg.groups`` and ``groups``) and the queues (globs) their members may use;
    ``queues``: those that all of the issuer's users may use. Members of ``operators`` (globs of groups) are operators,
    but a token of theirs that carries compute scopes may do no more than its scopes say.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    jwks_file: Path | None = None
    jwks_url: str = ""
    ca_file: Path | None = None
    hold_s: float = HOLD_S
    """How old keys may be that cannot be read again."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    any_audience: bool = True
    """Whether to accept tokens for whatever service (audience ``ANY``)."""
    leeway_s: float = 60.0
    """How far the clocks of issuer and federator may be apart."""

    def __post_init__(self) -> None:
        if not self.name or not self.issuer or not self.audiences:
            raise ValueError(f"issuer {self.name or self.issuer!r}: name, issuer and audiences are needed")
        for address in (self.jwks_url, "" if self.jwks_file or self.jwks_url else self.issuer):
            if address and not address.startswith("https://"):
                raise ValueError(f"issuer {self.name}: its keys must come over https, not from {address}")


class JwtIssuers:
    """All issuers whose tokens are accepted; ``fetching`` gives what gets the texts at an issuer's URLs."""

    def __init__(self, settings: Iterable[IssuerSettings], fetching: Callable[[IssuerSettings], Fetch]) -> None:
        self._issuers = {
            one.issuer: (one, KeySet(one.name, _source(one, fetching(one)), hold_s=one.hold_s)) for one in settings
        }

    async def identify(self, token: str) -> Identity:
        """Whose token this is and what it allows. Raises NotIdentified."""
        try:
            settings, keys = self._of(token)
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = await keys.find(header.get("kid"))
            return identity(settings, _verified(token, key, settings))
        except jwt.PyJWTError as error:
            raise NotIdentified(next(text for kind, text in MESSAGES.items() if isinstance(error, kind))) from error
        except (ValueError, RecursionError) as error:
            raise NotIdentified(MESSAGES[jwt.PyJWTError]) from error

    def _of(self, token: str) -> tuple[IssuerSettings, KeySet]:
        """The issuer that the token says it is of; whether it is, its signature tells."""
        claims = jwt.decode(token, options={"verify_signature": False})
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise jwt.InvalidIssuerError
        return self._issuers[issuer]


def _source(settings: IssuerSettings, fetch: Fetch) -> Callable[[], Awaitable[str]]:
    if settings.jwks_file is not None:
        return from_file(settings.jwks_file)
    return from_url(settings.jwks_url, fetch) if settings.jwks_url else from_issuer(settings.issuer, fetch)


def _verified(token: str, key: jwt.PyJWK, settings: IssuerSettings) -> Mapping[str, Any]:
    """The claims, once signature, issuer, audience and times are right."""
    claims: Mapping[str, Any] = jwt.decode(
        token,
        key,
        algorithms=list(ALGORITHMS),
        issuer=settings.issuer,
        audience=[*settings.audiences, *(ANY_AUDIENCE if settings.any_audience else ())],
        leeway=settings.leeway_s,
        options={"require": ["exp", "iss", "sub", "aud"], "enforce_minimum_key_length": True},
    )
    return claims


def identity(settings: IssuerSettings, claims: Mapping[str, Any]) -> Identity:
    """Who the claims say calls, with the roles, queues and actions they bring. Raises ValueError for an odd subject."""
    actions = frozenset(SCOPES[scope] for scope in _words(claims.get("scope")) if scope in SCOPES)
    groups = {*_words(claims.get("wlcg.groups")), *_words(claims.get("groups"))}
    if not SUBJECT.fullmatch(claims["sub"]):
        raise ValueError("the subject would not read well in a log")
    name = f"{claims['sub']}@{settings.name}"
    if any(fnmatchcase(group, glob) for group in groups for glob in settings.operators):
        return Identity(name, frozenset({Role.OPERATOR}), ("*",), actions=actions or None)
    queues = set(settings.queues)
    for glob, of_group in settings.groups.items():
        if any(fnmatchcase(group, glob) for group in groups):
            queues.update(of_group)
    # Capabilities alone decide what: a token without any may do nothing, whoever's it is.
    role = Role.SUBMITTER if actions - {"read"} else Role.READER
    return Identity(name, frozenset({role}), tuple(sorted(queues)), actions=actions)


def _words(claim: object) -> list[str]:
    """The words of a claim: a list of texts, or one text with spaces between."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return [word for word in words if isinstance(word, str)]
