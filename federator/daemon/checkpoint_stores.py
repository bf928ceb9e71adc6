"""Addresses of places that want a key. Those in buckets are signed here, good for a while, for one method and one
object; the keys stay here. Plain web servers know no such addresses: what says who asks goes along, behind a #."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote, urlsplit

from federator.documents.configured import CheckpointStore
from federator.documents.problems import DocumentErrors, Problem
from federator.model.checkpoints import GOOD_FOR_S, Sign, plain, signed


def signer(stores: Sequence[CheckpointStore], good_for_s: float = GOOD_FOR_S) -> Sign:
    """Signs for places in these stores. Asks no server. Raises DocumentErrors where the library for it is missing."""
    known = [(f"{store.url}/", _bucket(store, good_for_s) if signed(store.url) else _web(store)) for store in stores]
    longest_first = sorted(known, key=lambda one: -len(one[0]))

    def sign(method: str, place: str) -> str:
        for url, one in longest_first:
            if place.startswith(url):
                return one(method, place)
        return plain(method, place)

    return sign


def _bucket(store: CheckpointStore, good_for_s: float) -> Sign:
    try:
        from minio import Minio
    except ImportError:
        message = "what signs for buckets is not installed"
        raise DocumentErrors([Problem("", 0, 0, "spec.checkpointStores", message, "install federator[s3]")]) from None
    server = urlsplit(store.endpoint)
    client = Minio(
        server.netloc,
        access_key=store.access_key,
        secret_key=store.secret,
        secure=server.scheme == "https",
        region=store.region,  # given, so that the server is not asked for it
    )
    good_for = timedelta(seconds=good_for_s)

    def sign(method: str, place: str) -> str:
        parts = urlsplit(place)
        address: str = client.get_presigned_url(method, parts.netloc, parts.path.lstrip("/"), expires=good_for)
        return address

    return sign


def _web(store: CheckpointStore) -> Sign:
    if store.user:
        credential = "Basic " + base64.b64encode(f"{store.user}:{store.secret}".encode()).decode()
    else:
        credential = f"Bearer {store.secret}"
    behind = "#" + quote(credential, safe="")
    return lambda _, place: place + behind
