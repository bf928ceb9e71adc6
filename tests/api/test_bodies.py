"""Bodies that are too large, of the wrong type, malformed, or well-formed and wrong."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import Api, start
from tests.api.test_objects import YAML, workload
from tests.patience import PATIENCE_S

JSON = {"Content-Type": "application/json"}
PATH = "/api/v1/workloads"


async def test_a_body_over_the_limit_is_refused_by_its_length(api: Api) -> None:
    status, body, _ = await api.call("POST", PATH, data=b" " * 200_000, headers=JSON)
    assert (status, body["type"]) == (413, "urn:federator:problem:too-large")


async def test_a_body_over_the_limit_is_refused_when_it_comes_in_chunks(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    status, _, _ = await api.call("POST", PATH, data=chunks(), headers=JSON)
    assert status == 413


async def test_a_compressed_body_is_refused_unread(api: Api) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    status, body, _ = await api.call("POST", PATH, data=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert (status, body["type"]) == (415, "urn:federator:problem:encoded-body")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data"])
async def test_another_type_than_json_or_yaml_is_refused(api: Api, content_type: str) -> None:
    status, body, _ = await api.call("POST", PATH, data=b"a: 1", headers={"Content-Type": content_type})
    assert status == 415
    assert "application/json" in body["detail"]


@pytest.mark.parametrize(
    ("text", "headers", "line"),
    [
        ('{"a": 1,\n "b": }', JSON, 2),
        ("{a: 1}", JSON, 1),
        ("a: 1\n b: 2", YAML, 2),
        ("a: &x [*x]", YAML, 1),
    ],
)
async def test_a_malformed_body_is_told_with_line_and_column(
    api: Api, text: str, headers: dict[str, str], line: int
) -> None:
    status, body, _ = await api.call("POST", PATH, data=text, headers=headers)
    assert status == 400, body
    assert body["errors"][0]["line"] == line
    assert body["errors"][0]["column"] >= 1
    assert f"line {line}" in body["detail"]


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": 1, "a": 2}', "[" * 50_000, '{"a": ' * 900 + "1" + "}" * 900, "", "   ", "[]", "null", "\xff"],
    ids=["NaN", "a key twice", "endless nesting", "deep", "nothing", "blank", "no document", "null", "not UTF-8"],
)
async def test_json_that_we_do_not_take_is_a_400(api: Api, text: str) -> None:
    status, body, _ = await api.call("POST", PATH, data=text.encode("latin-1"), headers=JSON)
    assert status == 400, body


async def test_an_alias_bomb_is_refused_in_no_time(api: Api) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    async with asyncio.timeout(PATIENCE_S):
        status, _, _ = await api.call("POST", PATH, data="\n".join(lines), headers=YAML)
    assert status == 400


async def test_wrong_documents_are_told_all_at_once_with_place_field_and_cure(api: Api) -> None:
    text = """\
apiVersion: federator.dev/v1alpha1
kind: Workload
metadata: {name: one}
spec:
  queue: atlas
  replica: 3
---
apiVersion: federator.dev/v1alpha1
kind: Workloud
metadata: {name: two}
"""
    status, body, _ = await api.call("POST", PATH, data=text, headers=YAML)
    assert (status, body["type"]) == (422, "urn:federator:problem:invalid-document")
    by_line = {one["line"]: one for one in body["errors"]}
    assert by_line[6]["field"] == "spec.replica"
    assert "replicas" in by_line[6]["cure"]
    assert "Workload" in by_line[9]["cure"]
    assert api.service.submissions == 0


async def test_a_body_that_dawdles_is_given_up() -> None:
    api = await start(body_timeout_s=0.2)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.running.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.tokens['operator']}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(PATIENCE_S):
            assert b" 408 " in await reader.readline()
        writer.close()
    finally:
        await api.session.close()
        await api.running.stop()


async def test_what_is_not_http_gets_a_400_and_no_traceback_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.running.port)
    writer.write(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nAuthorization: Bearer fed_secret\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert caplog.text == ""


async def test_a_body_where_none_belongs_is_refused(api: Api) -> None:
    await api.call("POST", PATH, json=workload("w"))
    status, body, _ = await api.call("POST", f"{PATH}/w/cancel", json={})
    assert (status, body["type"]) == (400, "urn:federator:problem:unexpected-body")
