"""The servers' own tests use the same fixtures as everybody."""

from tests.servers.fixtures import kubernetes_pair, postgres_server, postgres_url

__all__ = ["kubernetes_pair", "postgres_server", "postgres_url"]
