"""Who may do what, besides local tokens: the part ``access`` of a Configuration."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from federator.documents.fields import Duration, Glob, Part, wrong

DAY_S = 86400.0
Role = Literal["reader", "submitter", "operator"]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=4096)]
IssuerName = Annotated[str, Field(strict=True, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]


def over_https(address: str) -> bool:
    """Whether this is an address of a server that shows a certificate, with no secret in it."""
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError:
        return False


def _https(address: str) -> str:
    if not over_https(address):
        raise wrong(f"'{address}' is no https address, so anybody on the way could change the keys", "write https://…")
    return address


class GroupPart(Part):
    """What members of a group may do."""

    queues: tuple[Glob, ...] = ()
    """The queues they may use, as names or globs."""
    roles: tuple[Role, ...] = ("submitter",)
    """reader, submitter (own queues), operator. Pilots have local tokens, which name their site."""


class IssuerPart(Part):
    """Who signs tokens (JWT) that we take."""

    issuer: Text
    """The `iss` of its tokens, exactly. Its keys are looked up there, unless `jwksUrl` or `jwksFile` is given."""
    name: IssuerName | None = None
    """Its users are called `SUBJECT@NAME`; left out: the issuer's host."""
    audience: Text
    """The `aud` that its tokens must have."""
    jwks_file: Text | None = None
    """The file with its public keys, for an issuer that cannot be asked."""
    jwks_url: Annotated[Text, AfterValidator(_https)] | None = None
    """Where its public keys are served (https), for an issuer that does not describe itself."""
    ca_file: Text | None = None
    """A PEM file with the authorities that sign the issuer's certificate, instead of those that the machine trusts."""
    keep_keys: Annotated[Duration, Field(ge=60)] = DAY_S
    """While the issuer does not answer its last keys hold, for as long as this after they were read."""
    groups: dict[str, GroupPart] = Field(default_factory=dict)
    """What its groups may do, by the group's name in the token."""

    @property
    def user_domain(self) -> str:
        """What stands behind the @ in the names of its users."""
        return self.name or (over_https(self.issuer) and urlsplit(self.issuer).hostname) or self.issuer

    @model_validator(mode="after")
    def _keys_come_from_one_place(self) -> IssuerPart:
        if self.jwks_file is not None and self.jwks_url is not None:
            raise wrong("both 'jwksFile' and 'jwksUrl' are given", "give one of the two", ("jwksUrl",))
        if self.jwks_file is not None and self.ca_file is not None:
            raise wrong("the keys are in a file, so no certificate is looked at", "leave 'caFile' out", ("caFile",))
        if self.jwks_file is None and self.jwks_url is None and not self._describes_itself:
            message = f"the keys of '{self.issuer}' cannot be looked up there: it is no plain https address"
            raise wrong(message, "give 'jwksUrl' or 'jwksFile'", ("issuer",))
        return self

    @property
    def _describes_itself(self) -> bool:
        return over_https(self.issuer) and not set("?#") & set(self.issuer)


class BannedPart(Part):
    """Who may do nothing at all."""

    users: tuple[Glob, ...] = ()
    """Users, as names or globs."""
    queues: tuple[Glob, ...] = ()
    """Queues that take no new work, as names or globs."""


class AccessPart(Part):
    """Who may do what, besides local tokens."""

    issuers: tuple[IssuerPart, ...] = ()
    """Whose tokens (JWT) we take."""
    banned: BannedPart = BannedPart()
    """Who may do nothing at all."""

    @model_validator(mode="after")
    def _issuers_are_told_apart(self) -> AccessPart:
        for index, one in enumerate(self.issuers):
            before = self.issuers[:index]
            if any(one.issuer == other.issuer for other in before):
                raise wrong(f"'{one.issuer}' is there twice", "name every issuer once", ("issuers", index, "issuer"))
            if any(one.user_domain == other.user_domain for other in before):
                message = f"users of two issuers would be called after '{one.user_domain}'"
                raise wrong(message, "give each a 'name' of its own", ("issuers", index, "issuer"))
        return self
