"""The kind Configuration: how the daemon runs. Read by ``federator run --config F``."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from federator.documents.common import API_VERSION, Envelope, Metadata
from federator.documents.fields import Bytes, Duration, Flag, Name, Part, wrong
from federator.documents.issuers import AccessPart

PathText = Annotated[str, Field(strict=True, min_length=1, max_length=4096)]


def _database(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://", "${")):
        message = f"'{value.partition(':')[0]}' is not a database that we use"
        raise wrong(message, "write sqlite:///FILE or postgresql://USER@HOST/NAME")
    return value


class TlsPart(Part):
    """Certificate and key of the server, as PEM files."""

    certificate: PathText
    """The certificate with its chain."""
    key: PathText
    """Its private key."""


class ListenPart(Part):
    """Where the server listens."""

    host: Annotated[str, Field(strict=True, min_length=1, max_length=253)] = "127.0.0.1"
    """The address. Anything but loopback needs `tls`, or `behindProxy: true`."""
    port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 8642
    """The port; 0: any that is free."""
    tls: TlsPart | None = None
    """Serve HTTPS; left out: HTTP."""
    behind_proxy: Flag = False
    """A proxy before us does TLS; its X-Forwarded-For says who calls."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _not_open_to_all_without_tls(self) -> ListenPart:
        if not self.loopback and self.tls is None and not self.behind_proxy:
            message = f"{self.host} is not loopback, and there is no TLS: tokens would go over the network in the clear"
            raise wrong(message, "give 'tls', or 'behindProxy: true' if a proxy does TLS", ("host",))
        return self


def _kept_at(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in ("s3", "https", "http")
        or not parts.hostname
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise wrong(f"'{value}' is no store with a key", "write s3://BUCKET, s3://BUCKET/PREFIX or https://HOST/FOLDER")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise wrong("everybody on the way could read the secret", "write https://HOST/FOLDER")
    return value


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise wrong(f"'{value}' is no server of S3", "write https://HOST:PORT")
    return value


class CheckpointStorePart(Part):
    """A bucket or a web server, or a part of it, where checkpoints may be kept, and the key to it. Buckets need
    `federator[s3]`."""

    url: Annotated[str, Field(strict=True, max_length=1024), AfterValidator(_kept_at)]
    """`s3://BUCKET/PREFIX` or `https://HOST/FOLDER`. `checkpoints` of documents may name it, or anything below it."""
    endpoint: Annotated[str, Field(strict=True, max_length=1024), AfterValidator(_endpoint)] = (
        "https://s3.amazonaws.com"
    )
    """The server of a bucket."""
    region: Annotated[str, Field(strict=True, min_length=1, max_length=64)] = "us-east-1"
    """Its region."""
    access_key: Annotated[str, Field(strict=True, min_length=1, max_length=256)] | None = None
    """The name of the key of a bucket."""
    user: Annotated[str, Field(strict=True, min_length=1, max_length=256, pattern=r"^[!-9;-~]+$")] | None = None
    """For a web server: who has the secret as a password (Basic). Left out: the secret is a token (Bearer)."""
    secret_file: PathText | None = None
    """A file whose first line is the secret of the key, the token or the password. Or give `secretVariable`."""
    secret_variable: Annotated[str, Field(strict=True, pattern=r"^[A-Z_a-z][0-9A-Z_a-z]*$")] | None = None
    """The environment variable that holds it."""

    @model_validator(mode="after")
    def _a_bucket_has_a_key_and_a_web_server_a_user(self) -> CheckpointStorePart:
        if self.url.startswith("s3:"):
            if self.access_key is None:
                raise wrong("nobody says which key opens the bucket", "give 'accessKey'")
            if self.user is not None:
                raise wrong("a bucket has a key and no user", "leave 'user' out")
        elif self.access_key is not None:
            raise wrong("a web server has a user or a token, and no key", "give 'user', or leave 'accessKey' out")
        return self

    @model_validator(mode="after")
    def _the_secret_comes_from_one_place(self) -> CheckpointStorePart:
        if (self.secret_file is None) == (self.secret_variable is None):
            given = "neither" if self.secret_file is None else "both"
            raise wrong(f"{given} of 'secretFile' and 'secretVariable' given", "give one of the two")
        return self


class LogPart(Part):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["auto", "json", "text"] = "auto"
    """auto: text in a terminal, else one JSON object a line."""


class ConfigurationSpec(Part):
    """How the daemon runs. Relative paths start at the folder of this file, but for those that say otherwise."""

    files: tuple[PathText, ...] = ()
    """Clusters, policies, queues and planning: files, folders or globs. Objects in them are owned by the files: the
    API does not change them; they are read again when they change."""
    samples: tuple[PathText, ...] = ()
    """Workloads that are submitted once, at the first start: files, folders or globs."""
    federation: Annotated[Name, Field(max_length=63)] = "federator"
    """Marks what is ours at a cluster, so that two federators can share one: give each its own name."""
    state_directory: PathText = "var"
    """Where the database, the admin token and local clusters keep their files."""
    database: Annotated[str, Field(strict=True), AfterValidator(_database)] | None = None
    """`sqlite:///FILE` (relative to the state directory) or `postgresql://USER:PASSWORD@HOST:PORT/NAME`;
    `${NAME}` is taken from the environment. Left out: `sqlite:///federator.db`."""
    database_file: PathText | None = None
    """A file whose first line is what `database` would be."""
    listen: ListenPart = ListenPart()
    """Where the server listens."""
    token_file: PathText | None = None
    """Where the admin token is written, mode 0600; left out: `admin.token` in the state directory."""
    cycle: Annotated[Duration, Field(ge=0.01, le=3600)] = 1.0
    """A cycle runs at least so often."""
    debounce: Annotated[Duration, Field(ge=0, le=60)] = 0.05
    """A change waits so long for others to come along before a cycle runs."""
    count_usage: Annotated[Duration, Field(ge=1, le=3600)] = 30.0
    """How often what each queue uses is added to what it had lately, and written."""
    retention: Duration = 2_592_000.0
    """How long ended workloads, history and the audit trail are kept."""
    body_limit: Annotated[Bytes, Field(ge=1024, le=2**30)] = 4 * 2**20
    """The largest request that the server reads."""
    keep_ended: Duration = 600.0
    """How long ended objects stay at clusters, for their logs."""
    recall_unschedulable: Duration = 15.0
    """How long a replica that its cluster reports as unschedulable stays there before it is placed again."""
    access: AccessPart = AccessPart()
    """Who may do what, besides local tokens."""
    checkpoint_stores: tuple[CheckpointStorePart, ...] = ()
    """Where [checkpoints](../backfill.md#work-is-kept) may be kept that need a key."""
    log: LogPart = LogPart()
    """What is logged."""
    shutdown_grace: Duration = 30.0
    """How long a shutdown waits for calls that are under way."""

    @model_validator(mode="after")
    def _the_database_is_said_once(self) -> ConfigurationSpec:
        if self.database is not None and self.database_file is not None:
            raise wrong("both 'database' and 'databaseFile' are given", "keep one of the two", ("databaseFile",))
        return self


class ConfigurationDocument(Envelope):
    """How the daemon runs: its files, its state, where it listens, who may do what."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Configuration"] = "Configuration"
    """The kind."""
    metadata: Metadata
    """Its name is for people."""
    spec: ConfigurationSpec = ConfigurationSpec()
    """How the daemon runs."""
