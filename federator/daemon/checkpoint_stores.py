"""Addresses of places in buckets: signed here, good for a while, for one method and one object. The keys stay here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from federator.documents.configured import CheckpointStore
from federator.documents.problems import DocumentErrors, Problem
from federator.model.checkpoints import GOOD_FOR_S, Sign, plain, signed


def signer(stores: Sequence[CheckpointStore], good_for_s: float = GOOD_FOR_S) -> Sign:
    """Signs for places in these stores. Asks no server. Raises DocumentErrors where the library for it is missing."""
    if not stores:
        return plain
    try:
        from minio import Minio
    except ImportError:
        message = "what signs for buckets is not installed"
        raise DocumentErrors([Problem("", 0, 0, "spec.checkpointStores", message, "install federator[s3]")]) from None
    clients = {}
    for store in stores:
        server = urlsplit(store.endpoint)
        clients[f"{store.url}/"] = Minio(
            server.netloc,
            access_key=store.access_key,
            secret_key=store.secret,
            secure=server.scheme == "https",
            region=store.region,  # given, so that the server is not asked for it
        )
    longest_first = sorted(clients.items(), key=lambda one: -len(one[0]))
    good_for = timedelta(seconds=good_for_s)

    def sign(method: str, place: str) -> str:
        for url, client in longest_first if signed(place) else ():
            if place.startswith(url):
                parts = urlsplit(place)
                address: str = client.get_presigned_url(method, parts.netloc, parts.path.lstrip("/"), expires=good_for)
                return address
        return plain(method, place)

    return sign
