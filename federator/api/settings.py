"""How the API listens, and where its audit trail, remembered answers and tokens are kept."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from federator.api.call import Audit, Kept


class UnsafeAddress(ValueError):
    """The API was asked to listen beyond this machine without TLS; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where and how to listen.

    ``port`` 0 takes any that is free. ``behind_proxy``: a proxy in front does TLS and says in X-Forwarded-For who
    calls. ``hosts`` are further names that a Host header may have on loopback.
    """

    kept: Kept
    audit: Audit
    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 2**20
    body_timeout_s: float = 30.0
    keep_alive_s: float = 15.0
    """How often a quiet stream of events sends a comment."""
    now_s: Callable[[], float] = time.time

    @property
    def tls(self) -> bool:
        """Whether we speak TLS ourselves."""
        return self.tls_cert is not None

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def check(self) -> None:
        """Raise UnsafeAddress where tokens would cross a network in the clear."""
        if not (self.on_loopback or self.tls or self.behind_proxy):
            raise UnsafeAddress(
                f"the API would listen on {self.host} without TLS, and tokens would cross the network in the clear; "
                "give a certificate and key, or set behindProxy: true if a proxy in front does TLS"
            )


def is_loopback(host: str) -> bool:
    """Whether this name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
