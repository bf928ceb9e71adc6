"""Speaks to the server: JSON over one connection that is kept, in the wire format of pilots, version 1."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

from federator.pilot.settings import Settings

Json = dict[str, Any]
ANSWER_S = 30.0


class Unreachable(Exception):
    """No answer, or one that says to try again later."""


class Refused(Exception):
    """The server says no. ``slug`` is its word for why: unknown-pilot, lease-refused, not-identified ..."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(f"{status} {slug}: {detail}")
        self.status = status
        self.slug = slug


class Wire:
    """One connection; not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        parts = urlsplit(settings.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._base = parts.path.rstrip("/")
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.create_default_context(cafile=settings.ca_file or None)
        elif parts.scheme != "http":
            raise ValueError(f"--url must begin with https:// or http://, not {settings.url!r}")
        self._open: http.client.HTTPConnection | None = None

    def call(self, path: str, body: Json | None = None, wait_s: float = 0.0) -> Json:
        """POST to ``/api/v1/pilots`` + path; ``wait_s``: how much longer than usual an answer may take.

        Raises Unreachable, Refused.
        """
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        again = self._open is not None  # a connection that was kept may have been closed meanwhile
        while True:
            try:
                status, answer = self._once(f"{self._base}/api/v1/pilots{path}", data, headers, wait_s)
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not again or isinstance(error, TimeoutError):
                    raise Unreachable(str(error) or type(error).__name__) from error
                again = False
        if status < 300:
            return answer
        if status >= 500 or status in (408, 429):
            raise Unreachable(f"{status} {answer.get('detail', '')}")
        raise Refused(status, str(answer.get("type", "")).rpartition(":")[2], str(answer.get("detail", "")))

    def _once(self, path: str, data: bytes, headers: dict[str, str], wait_s: float) -> tuple[int, Json]:
        connection = self._open = self._open or self._connect()
        connection.timeout = ANSWER_S + wait_s
        if connection.sock is not None:
            connection.sock.settimeout(ANSWER_S + wait_s)
        connection.request("POST", path, data, headers)
        response = connection.getresponse()
        text = response.read()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"detail": text[:200].decode(errors="replace")}
        return response.status, answer if isinstance(answer, dict) else {}

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_S, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)

    def close(self) -> None:
        """Let go of the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None


def of(pilot: str, verb: str) -> str:
    """The path of a pilot's call."""
    return f"/{quote(pilot, safe='')}/{verb}"
