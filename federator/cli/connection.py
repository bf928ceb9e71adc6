"""Where the server is and which token opens it: options, environment, or the daemon that runs on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from federator.cli.failures import UNREACHABLE, WRONG_INPUT, Failure

ENDPOINT = "endpoint.json"
ServerOption = Annotated[
    str | None,
    typer.Option("--server", envvar="FEDERATOR_SERVER", help="Address of the server.", rich_help_panel="Connection"),
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="FEDERATOR_TOKEN_FILE", help="File that holds the token.", rich_help_panel="Connection"
    ),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """An address without a slash at its end, and a token ("" for none)."""

    url: str
    token: str = ""
    ca_file: str = ""
    """Certificates to trust instead of the system's (FEDERATOR_CA_FILE)."""
    token_file: Path | None = None
    """Where the token came from."""

    def current_token(self) -> str:
        """The token as its file has it now: those of outside issuers are good for an hour, and renewed in their file.

        Where the file cannot be read (somebody is at it), the token from the start.
        """
        if self.token_file is None:
            return self.token
        try:
            return _token(self.token_file)
        except Failure:
            return self.token


def state_places() -> tuple[Path, ...]:
    """Where a daemon of this user may have left its address."""
    return Path("var"), Path.home() / ".local" / "state" / "federator"


def connect(server: str | None, token_file: Path | None) -> Connection:
    """The connection that the options, the environment or a local daemon describe. Raises Failure."""
    local = _local_endpoint()
    url = (server or str(local.get("url", ""))).rstrip("/")
    if not url:
        places = " or ".join(str(place / ENDPOINT) for place in state_places())
        raise Failure(
            f"no server is known: no daemon has left its address in {places}; "
            "start one with `federator run`, or give --server or FEDERATOR_SERVER",
            UNREACHABLE,
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure(f"--server: {url!r} is not an address; write http://HOST:PORT or https://HOST", WRONG_INPUT)
    is_local = url == str(local.get("url", "")).rstrip("/")
    found = token_file or (Path(str(local["token_file"])) if is_local and local.get("token_file") else None)
    return Connection(url, _token(found) if found else "", os.environ.get("FEDERATOR_CA_FILE", ""), found)


def write_endpoint(folder: Path, url: str, token_file: Path | None) -> Path:
    """Leave a daemon's address for the commands of this user. Returns the file."""
    path = folder / ENDPOINT
    text = json.dumps({"url": url, "token_file": str(token_file or ""), "pid": os.getpid()})
    write_private(path, text + "\n")
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _local_endpoint() -> Mapping[str, Any]:
    for place in state_places():
        try:
            found = json.loads((place / ENDPOINT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # none there, or half of one: as good as none
        if isinstance(found, dict):
            return found
    return {}


def _token(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"the token file {path} cannot be read: {error}", WRONG_INPUT) from error
    if not text or not text.isascii() or len(text.split()) != 1:
        raise Failure(f"the token file {path} does not hold one token; `federator token new` makes one", WRONG_INPUT)
    return text
