"""Who calls, and what they may do. Pure but for the keys of issuers, which ``jwt.py`` may have to fetch."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from federator.model.records import Token

MAX_HEADER_CHARS = 16_384
PREFIX = "fed_"
REALM = 'Bearer realm="federator"'
ALL_QUEUES = "*"
"""As a queue given to ``may``: something that no single queue owns (a policy, a cluster, a queue itself)."""


class Role(StrEnum):
    """What somebody is to the federator."""

    READER = "reader"
    SUBMITTER = "submitter"
    """A reader who may hand in and cancel work in some queues."""
    OPERATOR = "operator"
    """May do everything but what pilots do."""
    PILOT = "pilot"
    """An agent on a worker node: works for its own site, and sees nothing else."""


PERMISSIONS: Mapping[Role, frozenset[str]] = {
    Role.READER: frozenset({"read"}),
    Role.SUBMITTER: frozenset({"read", "submit", "modify", "cancel"}),
    Role.OPERATOR: frozenset({"read", "submit", "modify", "cancel", "operate"}),
    Role.PILOT: frozenset({"pilot"}),
}
"""The actions of each role. ``operate``: change what is no workload, cordon and drain clusters."""

NEW_WORK = frozenset({"submit", "modify"})
"""Actions that a banned queue refuses: what is there may still be seen and cancelled."""


class NotIdentified(Exception):
    """Nobody we know (HTTP 401). The text tells the caller what is wrong with the token, and nothing else.

    ``www_authenticate`` is the header that goes with it.
    """

    def __init__(self, message: str, *, challenge: str = "invalid_token") -> None:
        super().__init__(message)
        self.www_authenticate = f'{REALM}, error="{challenge}", error_description="{message}"' if challenge else REALM


class Forbidden(Exception):
    """Somebody we know, who may not do that (HTTP 403). The text says why, and what would change it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls.

    ``queues`` are globs of the queues that a submitter may use; ``site`` is a pilot's. ``actions``: where a token
    says itself what it is for (scopes), what it says; None: whatever its roles may do.
    """

    name: str
    roles: frozenset[Role]
    queues: tuple[str, ...] = ()
    site: str = ""
    actions: frozenset[str] | None = None

    @property
    def may(self) -> frozenset[str]:
        """The actions that are open to this identity in some queue."""
        of_roles = frozenset[str]().union(*(PERMISSIONS[role] for role in self.roles))
        return of_roles if self.actions is None else of_roles & self.actions


class Issuers(Protocol):
    """Knows tokens that others have issued (``jwt.JwtIssuers``)."""

    async def identify(self, token: str) -> Identity:
        """Whose token this is. Raises NotIdentified."""
        ...


class Access:
    """Checks bearer tokens and permissions.

    ``banned_users`` (names of identities) and ``banned_queues`` are globs. They, like ``issuers``, may be replaced at
    any time, and hold from the next request on; ``set_tokens`` replaces the local tokens.
    """

    def __init__(
        self,
        tokens: Iterable[Token] = (),
        issuers: Issuers | None = None,
        banned_users: Iterable[str] = (),
        banned_queues: Iterable[str] = (),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.issuers = issuers
        self.banned_users = tuple(banned_users)
        self.banned_queues = tuple(banned_queues)
        self._now_s = now_s
        self.set_tokens(tokens)

    def set_tokens(self, tokens: Iterable[Token]) -> None:
        """Take these local tokens instead of those before."""
        self._tokens = {token.sha256: token for token in tokens}

    async def identify(self, authorization: str | None) -> Identity:
        """Who calls with this Authorization header. Raises NotIdentified."""
        if not authorization:
            raise NotIdentified("send a token: 'Authorization: Bearer TOKEN'", challenge="")
        if len(authorization) > MAX_HEADER_CHARS:
            raise NotIdentified(f"the token is longer than {MAX_HEADER_CHARS} characters", challenge="invalid_request")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
            raise NotIdentified("the header must read 'Authorization: Bearer TOKEN'", challenge="invalid_request")
        if token.startswith(PREFIX):
            return self._of_local(token)
        if self.issuers is None:
            raise NotIdentified("the token is not known here")
        return await self.issuers.identify(token)

    def _of_local(self, text: str) -> Identity:
        # Found by its hash: how long the search takes tells nothing of a secret of 32 random bytes.
        token = self._tokens.get(digest(text))
        if token is None:
            raise NotIdentified("the token is not known here")
        if token.expires_s is not None and token.expires_s <= self._now_s():
            raise NotIdentified("the token has expired; ask an operator for a new one")
        return Identity(token.name, frozenset(map(Role, token.roles)), token.queues, token.site)

    def may(self, identity: Identity, action: str, queue: str | None = None, *, site: str | None = None) -> None:
        """Return if the action is allowed; raise Forbidden if not.

        ``queue`` None asks whether it is allowed in some queue; ``*`` means what no single queue owns, which only
        operators may change. ``site`` is the one that a pilot wants to work for.
        """
        if _matches(identity.name, self.banned_users):
            raise Forbidden(f"{identity.name} is banned here; an operator can lift the ban")
        if queue == ALL_QUEUES and action != "read":
            action = "operate"
        if action not in identity.may:
            raise Forbidden(_missing(identity, action))
        if site is not None and site != identity.site:
            raise Forbidden(f"pilot {identity.name} belongs to site {identity.site!r} and may not work for {site!r}")
        if queue is None or action in ("read", "operate"):
            return
        if action in NEW_WORK and _matches(queue, self.banned_queues):
            raise Forbidden(f"queue {queue} is banned here and takes no work; an operator can lift the ban")
        if Role.OPERATOR not in identity.roles and not _matches(queue, identity.queues):
            own = ", ".join(identity.queues) or "no queue at all"
            raise Forbidden(
                f"{identity.name} may use {own}, not queue {queue}; ask an operator for a token with that queue"
            )


def new_token(
    name: str,
    roles: Iterable[Role],
    queues: Iterable[str] = (),
    *,
    site: str = "",
    expires_s: float | None = None,
) -> tuple[str, Token]:
    """A new local token: the text to hand out, which is kept nowhere, and what to put in the store.

    Raises ValueError for a name that is not made of letters, digits, dots and dashes, and for a pilot without a site.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", name):
        raise ValueError(f"a token's name is 1 to 63 letters, digits, dots and dashes, not {name!r}")
    roles = frozenset(roles)
    if Role.PILOT in roles and not site:
        raise ValueError(f"token {name}: a pilot needs the site that it works for")
    text = f"{PREFIX}{name}_{secrets.token_hex(32)}"
    return text, Token(name, digest(text), tuple(sorted(roles)), tuple(queues), site, expires_s)


def digest(token: str) -> str:
    """What is kept of a token: ``printf %s TOKEN | sha256sum`` gives the same."""
    return hashlib.sha256(token.encode()).hexdigest()


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _missing(identity: Identity, action: str) -> str:
    roles = [role.value for role in Role if action in PERMISSIONS[role]]
    if identity.actions is not None and any(role in identity.roles for role in roles):
        return f"the token of {identity.name} is not for this ({action}); ask its issuer for one with that scope"
    has = ", ".join(sorted(identity.roles)) or "none"
    return (
        f"{identity.name} may not {action}: that needs the role {' or '.join(roles) or '(none)'}, the token has {has}; "
        "ask an operator for another token"
    )
