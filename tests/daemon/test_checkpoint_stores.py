"""Addresses in buckets: each for one method and object, for a while, and without the secret."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from federator.daemon.checkpoint_stores import signer
from federator.documents import DocumentErrors
from federator.documents.configured import CheckpointStore, read_configuration
from federator.model.checkpoints import NoStore

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
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


def configuration(folder: Path, **store: str) -> Path:
    given = {"url": "s3://bucket/kept", "endpoint": "https://s3.example.org", "accessKey": "KEY", **store}
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
        ({"secretVariable": "B", "url": "http://bucket"}, "names no bucket"),
        ({"secretVariable": "B", "endpoint": "https://KEY:PASS@s3.example.org"}, "is no server of S3"),
    ],
)
def test_what_is_wrong_with_a_store_is_told(tmp_path: Path, store: dict[str, str], words: str) -> None:
    with pytest.raises(DocumentErrors, match=words):
        read_configuration(configuration(tmp_path, **store), {"B": SECRET})
