"""Kubeconfig and token files."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class User:
    """Someone the apiserver knows by a static token."""

    name: str
    token: str
    groups: tuple[str, ...] = ()


def write_tokens(path: Path, users: Mapping[str, User]) -> Path:
    """The apiserver's ``--token-auth-file``: token, user, uid and, quoted, the groups."""
    lines = []
    for number, user in enumerate(users.values(), start=1):
        groups = f',"{",".join(user.groups)}"' if user.groups else ""
        lines.append(f"{user.token},{user.name},{number}{groups}\n")
    path.touch(mode=0o600)
    path.write_text("".join(lines))
    return path


def write_kubeconfig(path: Path, cluster: str, url: str, ca_file: Path, user: str, token: str) -> Path:
    """A kubeconfig that needs no other file: the authority is inside. (JSON is YAML too.)"""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user, "namespace": "default"}}],
        "current-context": cluster,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path


class PlainClient:
    """A blocking client of a few lines, for starting servers and for looking into them from tests."""

    def __init__(self, url: str, ca_file: Path, token: str, timeout_s: float = 30.0) -> None:
        self.url = url
        self._token = token
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context(cafile=str(ca_file))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request; the answer as a dict. HTTP errors raise ``urllib.error.HTTPError``."""
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        found = json.loads(self.text(method, path, None if body is None else json.dumps(body).encode(), content))
        assert isinstance(found, dict)
        return found

    def text(self, method: str, path: str, body: bytes | None = None, content: str = "application/json") -> str:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", content)
        with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls) as answer:
            text: str = answer.read().decode(errors="replace")
            return text

    def says(self, path: str) -> str | None:
        """The text at ``path``, or None while nobody answers or the answer is an error."""
        try:
            return self.text("GET", path)
        except (urllib.error.URLError, OSError, ssl.SSLError):
            return None
