"""Addresses in buckets: each for one method and object, for a while, and without the secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from federator import keep
from federator.daemon.checkpoint_stores import signer
from federator.documents import DocumentErrors
from federator.documents.configured import CheckpointStore, read_configuration
from federator.model.checkpoints import NoStore
from tests.web_store import WebStore

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
TOKEN = "eyJhbGciOi.J9-_~+/=x"
STORE = CheckpointStore("s3://bucket/kept", "https://s3.example.org:9000", "eu-1", "KEY", SECRET)


def right_signature(method: str, address: str) -> str:
    """What the server expects, by the rules of AWS Signature Version 4 for signed queries."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    given = "&".join(sorted(one for one in parts.query.split("&") if not one.startswith("X-Amz-Signature=")))
    asked = "\n".join((method, parts.path, given, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"))
    scope = query["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(asked.encode()).hexdigest()
    words = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest))
    key = f"AWS4{SECRET}".encode()
    for part in [*scope.split("/"), words]:
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_signed_address_is_what_the_server_expects(method: str) -> None:
    address = signer([STORE])(method, "s3://bucket/kept/atlas/bag-1a-3-7-0")
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    assert (parts.scheme, parts.netloc, parts.path) == (
        "https", "s3.example.org:9000", "/bucket/kept/atlas/bag-1a-3-7-0",
    )  # fmt: skip
    assert query["X-Amz-Expires"] == ["1800"]
    assert query["X-Amz-Signature"] == [right_signature(method, address)]
    others = {"GET", "PUT", "DELETE"} - {method}
    assert all(query["X-Amz-Signature"] != [right_signature(other, address)] for other in others)
    assert SECRET not in address


def test_only_what_is_below_a_store_is_signed_and_everything_else_stays_as_it_is() -> None:
    deeper = CheckpointStore("s3://bucket/kept/cms", "http://other:9000", "eu-1", "OTHER", SECRET)
    sign = signer([STORE, deeper])
    assert sign("PUT", "s3://bucket/kept/cms/a").startswith("http://other:9000/bucket/kept/cms/a?")
    assert sign("PUT", "file:///kept/a") == "file:///kept/a"
    for place in ("s3://bucket/kept2/a", "s3://bucket/a", "s3://else/kept/a"):
        with pytest.raises(NoStore, match="there are no credentials for"):
            sign("PUT", place)
        with pytest.raises(NoStore):
            signer([])("PUT", place)


@pytest.mark.parametrize(
    ("user", "wanted"),
    [("", f"Bearer {TOKEN}"), ("fed", "Basic " + base64.b64encode(f"fed:{TOKEN}".encode()).decode())],
)
def test_a_web_server_is_told_who_asks_and_nobody_else_is(tmp_path: Path, user: str, wanted: str) -> None:
    """Nor a server to which that one sends us on; and no words hold it."""
    web, other = WebStore(), WebStore()
    try:
        web.wants = wanted
        sign = signer([CheckpointStore(f"{web.url}/kept", "", "", "", TOKEN, user)])
        assert sign("GET", f"{web.url}/kept2/a") == f"{web.url}/kept2/a"
        place = sign("PUT", f"{web.url}/kept/a")
        (tmp_path / "a").write_text("1")
        keep.write(place, str(tmp_path / "a"))
        found = keep.read(place)
        assert found is not None
        with found:
            assert found.read() == b"1"
        with pytest.raises(HTTPError) as caught:
            keep.read(f"{web.url}/kept/a")
        assert keep.words_of(caught.value) == "the store answers 401 Unauthorized"
        web.sends_on = f"{other.url}/kept/a"
        assert keep.read(place) is None, "the other has nothing"
        assert other.told == [None]
        web.sends_on = ""
        keep.remove(place)
        assert not web.kept
    finally:
        web.stop()
        other.stop()


def configuration(folder: Path, **store: str) -> Path:
    bucket = {"url": "s3://bucket/kept", "endpoint": "https://s3.example.org", "accessKey": "KEY"}
    given = store if "url" in store else {**bucket, **store}
    head = {"apiVersion": "federator.dev/v1alpha1", "kind": "Configuration", "metadata": {"name": "test"}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**head, "spec": {"checkpointStores": [given]}}))
    return path


def test_secrets_come_from_files_or_the_environment_and_are_in_no_words(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    by_file = read_configuration(configuration(tmp_path, secretFile="secret"), {})
    by_variable = read_configuration(configuration(tmp_path, secretVariable="S3_SECRET"), {"S3_SECRET": SECRET})
    for found in (by_file, by_variable):
        (store,) = found.checkpoint_stores
        assert store.secret == SECRET
        assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ({}, "neither of 'secretFile' and 'secretVariable' given"),
        ({"secretFile": "a", "secretVariable": "B"}, "both of 'secretFile' and 'secretVariable' given"),
        ({"secretFile": "none"}, "'none' cannot be used: no such file"),
        ({"secretVariable": "NONE"}, "the environment has no variable 'NONE'"),
        ({"secretVariable": "B", "url": "ftp://bucket"}, "is no store with a key"),
        ({"secretVariable": "B", "url": "https://me@store"}, "is no store with a key"),
        ({"secretVariable": "B", "url": "http://store.example.org/kept"}, "everybody on the way could read the secret"),
        ({"secretVariable": "B", "url": "https://store/kept", "accessKey": "K"}, "and no key"),
        ({"secretVariable": "B", "url": "s3://b"}, "nobody says which key opens the bucket"),
        ({"secretVariable": "B", "user": "fed"}, "a bucket has a key and no user"),
        ({"secretVariable": "ODD"}, "its secret has characters that no server takes"),
        ({"secretVariable": "B", "endpoint": "https://KEY:PASS@s3.example.org"}, "is no server of S3"),
    ],
)
def test_what_is_wrong_with_a_store_is_told(tmp_path: Path, store: dict[str, str], words: str) -> None:
    with pytest.raises(DocumentErrors, match=words):
        read_configuration(configuration(tmp_path, **store), {"B": SECRET, "ODD": "é"})
