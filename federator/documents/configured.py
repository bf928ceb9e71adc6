"""The daemon's configuration, ready for use: defaults filled in, paths absolute, the environment looked up."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from federator.documents.configuration import ConfigurationSpec, ListenPart, LogPart
from federator.documents.issuers import AccessPart
from federator.documents.problems import DocumentErrors, Problem
from federator.documents.reading import read_files

_VARIABLE = re.compile(r"\$\{(\w*)\}")
NO_FILE = "<defaults>"


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """A bucket or a web server, or a part of it, with the key to it. ``user`` empty: the secret is a token."""

    url: str
    endpoint: str
    region: str
    access_key: str
    secret: str = field(repr=False)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What ``federator run`` goes by. Times are in seconds, sizes in bytes."""

    spec: ConfigurationSpec = ConfigurationSpec()
    base: Path = field(default_factory=Path.cwd)
    """The folder of the file (the working directory where there is none): relative paths start here."""
    source: str = NO_FILE
    database_url: str = ""
    """With an absolute path, and everything from the environment in it: it may hold a password."""

    checkpoint_stores: tuple[CheckpointStore, ...] = ()

    @property
    def state_directory(self) -> Path:
        """Where the database, the admin token and local clusters keep their files."""
        return self._path(self.spec.state_directory)

    @property
    def token_file(self) -> Path:
        """Where the admin token is written."""
        if self.spec.token_file is None:
            return self.state_directory / "admin.token"
        return self._path(self.spec.token_file)

    @property
    def sample_paths(self) -> tuple[Path, ...]:
        """Files and folders of the workloads that are submitted once."""
        return self._expanded("samples", self.spec.samples)

    def paths(self) -> tuple[Path, ...]:
        """Files and folders of the documents that files own, as they are there now.

        Raises DocumentErrors for a pattern that matches nothing.
        """
        return self._expanded("files", self.spec.files)

    @property
    def federation(self) -> str:
        """Marks what is ours at a cluster."""
        return self.spec.federation

    @property
    def listen(self) -> ListenPart:
        """Where the server listens; ``certificate`` and ``key`` say the files."""
        return self.spec.listen

    @property
    def certificate(self) -> Path | None:
        """The server's certificate; None for HTTP."""
        return self._path(self.spec.listen.tls.certificate) if self.spec.listen.tls else None

    @property
    def key(self) -> Path | None:
        """The certificate's key; None for HTTP."""
        return self._path(self.spec.listen.tls.key) if self.spec.listen.tls else None

    @property
    def access(self) -> AccessPart:
        """Who may do what; ``jwks_file`` is relative to ``base`` (see ``resolve``)."""
        return self.spec.access

    @property
    def log(self) -> LogPart:
        """What is logged."""
        return self.spec.log

    @property
    def cycle(self) -> float:
        """A cycle runs at least so often."""
        return self.spec.cycle

    @property
    def debounce(self) -> float:
        """How long a change waits for others."""
        return self.spec.debounce

    @property
    def count_usage(self) -> float:
        """How often what queues use is added to what they had lately."""
        return self.spec.count_usage

    @property
    def retention(self) -> float:
        """How long ended workloads and history are kept."""
        return self.spec.retention

    @property
    def body_limit(self) -> int:
        """The largest request."""
        return self.spec.body_limit

    @property
    def keep_ended(self) -> float:
        """How long ended objects stay at clusters."""
        return self.spec.keep_ended

    @property
    def recall_unschedulable(self) -> float:
        """How long an unschedulable replica stays where it is."""
        return self.spec.recall_unschedulable

    @property
    def shutdown_grace(self) -> float:
        """How long a shutdown waits."""
        return self.spec.shutdown_grace

    def resolve(self, path: str) -> Path:
        """A path written in the file, absolute."""
        return self._path(path)

    def _path(self, written: str) -> Path:
        return Path(os.path.normpath(self.base / Path(written).expanduser()))

    def _expanded(self, key: str, written: tuple[str, ...]) -> tuple[Path, ...]:
        found: list[Path] = []
        problems = []
        for index, one in enumerate(written):
            path = str(self._path(one))
            names = sorted(glob.glob(path)) if glob.has_magic(one) else [path]
            if not names:
                cure = f"it is looked for as {path}"
                problems.append(Problem(self.source, 0, 0, f"spec.{key}[{index}]", f"no file matches '{one}'", cure))
            found.extend(map(Path, names))
        if problems:
            raise DocumentErrors(problems)
        return tuple(dict.fromkeys(found))


def read_configuration(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Configuration:
    """The configuration in a file; the defaults without one. Raises DocumentErrors."""
    environ = os.environ if environ is None else environ
    if path is None:
        return _with_database(Configuration(), environ)
    documents = read_files([path])
    found = documents.configuration
    if len(found) != 1:
        raise DocumentErrors([Problem(str(path), message="holds no Configuration", cure="write kind: Configuration")])
    others = [document for document in documents.all if document.kind != "Configuration"]
    if others:
        place = others[0].source
        message = f"a {others[0].kind} does not belong in the file of the Configuration"
        raise DocumentErrors([Problem(place.file, place.line, 1, "kind", message, "name its file in spec.files")])
    base = Path(path).resolve().parent
    return _with_database(Configuration(found[0].spec, base, str(path)), environ)


def _with_database(configuration: Configuration, environ: Mapping[str, str]) -> Configuration:
    spec = configuration.spec
    written, key = spec.database or "sqlite:///federator.db", "spec.database"
    if spec.database_file is not None:
        key = "spec.databaseFile"
        written = _first_line(configuration, key, spec.database_file)
    for name in _VARIABLE.findall(written):
        if name not in environ:
            message = f"the environment has no variable '{name}'"
            raise _refused(configuration, key, message, f"set {name}, or use databaseFile")
    url = _VARIABLE.sub(lambda found: environ[found[1]], written)
    if url.startswith("sqlite:///"):
        url = f"sqlite:///{Path(os.path.normpath(configuration.state_directory / url.removeprefix('sqlite:///')))}"
    elif not url.startswith("postgresql://"):
        raise _refused(configuration, key, "is not a database that we use", "write sqlite:///FILE or postgresql://...")
    return Configuration(spec, configuration.base, configuration.source, url, _stores(configuration, environ))


def _stores(configuration: Configuration, environ: Mapping[str, str]) -> tuple[CheckpointStore, ...]:
    """The stores of checkpoints with their secrets, which no message repeats. Raises DocumentErrors."""
    found = []
    for index, part in enumerate(configuration.spec.checkpoint_stores):
        key = f"spec.checkpointStores[{index}]"
        if part.secret_variable is not None:
            secret = environ.get(part.secret_variable, "").strip()
            if not secret:
                message = f"the environment has no variable '{part.secret_variable}'"
                raise _refused(configuration, f"{key}.secretVariable", message, "set it, or use secretFile")
        else:
            secret = _first_line(configuration, f"{key}.secretFile", part.secret_file or "")
        if not (secret.isascii() and secret.isprintable()):
            raise _refused(configuration, key, "its secret has characters that no server takes", "write it in ASCII")
        whose = part.access_key or "", secret, part.user or ""
        found.append(CheckpointStore(part.url.rstrip("/"), part.endpoint, part.region, *whose))
    return tuple(found)


def _first_line(configuration: Configuration, key: str, path: str) -> str:
    """The first line of a file. Raises DocumentErrors."""
    try:
        return configuration.resolve(path).read_text("utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        words = getattr(error, "strerror", None) or "holds no line of text"
        raise _refused(configuration, key, f"'{path}' cannot be used: {words.lower()}", "") from None


def _refused(configuration: Configuration, key: str, message: str, cure: str) -> DocumentErrors:
    return DocumentErrors([Problem(configuration.source, 0, 0, key, message, cure)])
