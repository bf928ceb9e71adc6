"""Keys of issuers over https: real servers on loopback, with certificates of an authority that is made here."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from federator.api import https
from federator.api.access import Access, NotIdentified
from federator.api.composed import make_access
from federator.api.https import Https
from federator.api.jwks import KeySet, from_issuer, from_url
from federator.documents import DocumentErrors, read_configuration
from tests.api.conftest import Api
from tests.api.test_jwt import KEYS, STRANGER, jwk, jwks, signed
from tests.servers.certificates import Authority

AUDIENCE = "https://federator.example.org"
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Issuer:
    """An identity provider on loopback. ``answers`` replace what it says at a path."""

    authority: Authority
    port: int
    keys: str = field(default_factory=jwks)
    answers: dict[str, Answering] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/wlcg/"

    async def start(self, certificate: tuple[Path, Path] | None = None) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*(certificate or self.authority.serving("issuer")))
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.answers:
            return await self.answers[request.path](request)
        described = {"issuer": self.url, "jwks_uri": f"https://localhost:{self.port}/keys"}
        texts = {"/wlcg/.well-known/openid-configuration": json.dumps(described), "/keys": self.keys}
        if request.path not in texts:
            return web.Response(status=404)
        return web.Response(text=texts[request.path], content_type="application/json")


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = Issuer(Authority(tmp_path, "issuer"), port)
    await one.start()
    yield one
    await one.stop()


def configured(folder: Path, *issuers: str) -> Access:
    """Access as the daemon makes it of a Configuration with these issuers (YAML in one line each)."""
    file = folder / "federator.yaml"
    lines = [
        "apiVersion: federator.dev/v1alpha1",
        "kind: Configuration",
        "metadata: {name: f}",
        "spec:",
        "  access:",
        "    issuers:",
    ]
    file.write_text("\n".join([*lines, *(f"    - {{{one}}}" for one in issuers)]) + "\n")
    return make_access(read_configuration(file, {}), [])


def access_to(issuer: Issuer, folder: Path, more: str = "caFile: ca.crt") -> Access:
    return configured(
        folder,
        f"issuer: '{issuer.url}', name: wlcg, audience: '{AUDIENCE}', groups: {{/atlas*: {{queues: [a*]}}}}, {more}",
    )


def bearer(issuer: Issuer, algorithm: str = "RS256", **claims: object) -> str:
    return f"Bearer {signed(algorithm, iss=issuer.url, **claims)}"


async def test_a_token_is_good_by_the_keys_that_its_issuer_shows_over_https(
    issuer: Issuer, tmp_path: Path, api: Api
) -> None:
    """As a user would: a request to the API with a token of the issuer. No part of the token is in any log."""
    api.access.issuers = access_to(issuer, tmp_path).issuers
    good, bad = bearer(issuer), f"Bearer {signed(iss=issuer.url, key=STRANGER)}"
    with capture_logs() as logs:
        for token, status in ((good, 200), (bad, 401)):
            headers = {"Authorization": token}
            got, answer, _ = await api.call("GET", "/api/v1/workloads", role=None, headers=headers)
            assert got == status, answer
        await api.call("POST", "/api/v1/workloads", role=None, headers={"Authorization": good}, data=b"[]")
    assert issuer.asked == ["/wlcg/.well-known/openid-configuration", "/keys"]
    who = await api.access.identify(good)
    assert (who.name, who.queues) == ("9f3c-77@wlcg", ("a*",))
    written = repr(logs) + repr(vars(api.kept))
    assert "keys of an issuer" in written
    for token in (good, bad):
        for part in token.removeprefix("Bearer ").split("."):
            assert part not in written


async def test_an_address_of_keys_may_be_given_instead(issuer: Issuer, tmp_path: Path) -> None:
    access = access_to(issuer, tmp_path, f"caFile: ca.crt, jwksUrl: 'https://127.0.0.1:{issuer.port}/keys'")
    assert await access.identify(bearer(issuer, "EdDSA"))
    assert issuer.asked == ["/keys"]


async def refused(access: Access, issuer: Issuer) -> str:
    """What the log says where a token cannot be checked; the caller is told no more than that."""
    with capture_logs() as logs, pytest.raises(NotIdentified, match="cannot be had now; try again") as refusal:
        await access.identify(bearer(issuer))
    assert str(issuer.port) not in str(refusal.value)
    return str([entry["detail"] for entry in logs if entry["log_level"] == "warning"])


async def test_an_authority_that_nobody_named_is_not_believed(issuer: Issuer, tmp_path: Path) -> None:
    assert "certificate verify failed" in await refused(access_to(issuer, tmp_path, "keepKeys: 1h"), issuer)
    assert not issuer.asked


async def test_a_server_that_shows_the_certificate_of_another_is_not_believed(issuer: Issuer, tmp_path: Path) -> None:
    elsewhere = issuer.url.replace("localhost", "127.0.0.2")
    access = access_to(issuer, tmp_path, f"caFile: ca.crt, jwksUrl: '{elsewhere}'")
    await issuer.stop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issuer.authority.serving("other"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.2", issuer.port, ssl=context)
    async with server:
        assert "127.0.0.2" in (said := await refused(access, issuer))
    assert "certificate is not valid for" in said or "mismatch" in said


async def test_http_is_no_way_to_keys(issuer: Issuer, tmp_path: Path) -> None:
    """Neither by the issuer's description nor by a redirect."""

    async def lead_astray(_: web.Request) -> web.Response:
        return web.json_response({"issuer": issuer.url, "jwks_uri": "http://localhost/keys"})

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://localhost/keys"})

    for way, words in ((lead_astray, "no jwks_uri over https but 'http://localhost/keys'"), (redirect, "status 302")):
        issuer.answers["/wlcg/.well-known/openid-configuration"] = way
        assert words in await refused(access_to(issuer, tmp_path), issuer)


async def test_a_description_of_somebody_else_is_not_believed(issuer: Issuer, tmp_path: Path) -> None:
    async def other(_: web.Request) -> web.Response:
        keys = f"https://localhost:{issuer.port}/keys"
        return web.json_response({"issuer": "https://other.example.org", "jwks_uri": keys})

    issuer.answers["/wlcg/.well-known/openid-configuration"] = other
    assert "its issuer is 'https://other.example.org'" in await refused(access_to(issuer, tmp_path), issuer)


async def test_keys_that_come_in_pieces_are_taken_whole(issuer: Issuer, tmp_path: Path) -> None:
    async def in_pieces(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        text = jwks().encode()
        for begin in range(0, len(text), 500):
            await answer.write(text[begin : begin + 500])
            await asyncio.sleep(0.005)
        return answer

    issuer.answers["/keys"] = in_pieces
    assert await access_to(issuer, tmp_path).identify(bearer(issuer))


async def test_more_than_anybody_has_keys_is_not_read_to_its_end(issuer: Issuer, tmp_path: Path) -> None:
    async def long(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(b" " * 65_536)
            await asyncio.sleep(0)
        return answer

    issuer.answers["/keys"] = long
    assert f"more than {2**20} bytes" in await refused(access_to(issuer, tmp_path), issuer)


async def test_an_issuer_that_does_not_answer_is_given_up(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    monkeypatch.setattr(https, "ANSWER_S", 0.3)
    issuer.answers["/keys"] = hang
    assert "no answer within 0.3 s" in await refused(access_to(issuer, tmp_path), issuer)


async def test_new_keys_an_outage_and_the_way_back(issuer: Issuer) -> None:
    """The issuer changes its keys, is away for more than a day, and comes back with a certificate that was renewed."""
    now_s = 0.0
    fetch = Https(issuer.authority.ca_file)
    keys = KeySet("wlcg", from_issuer(issuer.url, fetch), lambda: now_s)
    await keys.find("key-RS256")
    issuer.keys = jwks(jwk("ES256", KEYS["ES256"], "next"))
    for number in range(20):
        with pytest.raises(NotIdentified, match="does not show"):
            await keys.find("next" if number == 0 else f"invented-{number}")
    assert len(issuer.asked) == 2, "asked within the minute"
    now_s = 61.0
    await keys.find("next")
    assert len(issuer.asked) == 4

    await issuer.stop()
    now_s = 61.0 + 86_400.0
    with capture_logs() as logs:
        await keys.find("next")
    assert "Cannot connect" in logs[0]["detail"]
    assert logs[0]["hold_s"] == 0
    now_s += 61.0
    with pytest.raises(NotIdentified, match="cannot be had now"):
        await keys.find("next")

    await issuer.start(issuer.authority.serving("renewed"))
    now_s += 61.0
    await keys.find("next")


async def test_an_authority_that_was_renewed_holds_at_once(issuer: Issuer, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    file = tmp_path / "trusted.crt"
    file.write_bytes(Authority(old, "old").ca_file.read_bytes())
    read = from_url(f"https://localhost:{issuer.port}/keys", Https(file))
    with pytest.raises(OSError, match="certificate verify failed"):
        await read()
    file.write_bytes(issuer.authority.ca_file.read_bytes())
    assert await read() == issuer.keys


GOOD = "issuer: 'https://iam.example.org/', audience: a"


@pytest.mark.parametrize(
    ("issuers", "told"),
    [
        (
            ["issuer: x, audience: a"],
            r"f.*:7:.*issuers\[0\].issuer: the keys of 'x' cannot be looked up there.*jwksUrl",
        ),
        (["issuer: 'http://iam.example.org', audience: a"], "cannot be looked up there: it is no plain https address"),
        (["issuer: 'https://iam.example.org/?x=1', audience: a"], "is no plain https address"),
        (["issuer: 'https://u:secret@iam.example.org/', audience: a"], "is no plain https address"),
        ([GOOD + ", jwksUrl: 'http://iam.example.org/jwk'"], r"f.*:7:.*issuers\[0\].jwksUrl: .* is no https address"),
        (
            [GOOD + ", jwksUrl: 'https://a/', jwksFile: b"],
            "both 'jwksFile' and 'jwksUrl' are given; give one of the two",
        ),
        ([GOOD + ", jwksFile: b, caFile: c"], r"issuers\[0\].caFile: .* leave 'caFile' out"),
        ([GOOD + ", keepKeys: 1s"], r"issuers\[0\].keepKeys: .*too small"),
        ([GOOD + ", name: 'a b'"], r"issuers\[0\].name: "),
        ([GOOD + ", groups: {g: {roles: [pilot]}}"], "the text 'pilot' is not one of reader, submitter, operator"),
        ([GOOD, GOOD], r"f.*:8:.*issuers\[1\].issuer: 'https://iam.example.org/' is there twice"),
        (
            [GOOD, GOOD.replace("org/", "org/b")],
            r"issuers\[1\].issuer: users of two issuers .* after 'iam.example.org'",
        ),
        ([GOOD + ", jwksFile: gone.json"], r"issuers\[0\].jwksFile: \S*/gone.json cannot be used: No such file"),
        ([GOOD + ", jwksFile: federator.yaml"], r"issuers\[0\].jwksFile: \S* cannot be used: .* JSON Web Key Set"),
        ([GOOD + ", caFile: gone.crt"], r"issuers\[0\].caFile: \S*/gone.crt cannot be used: No such file"),
        ([GOOD + ", caFile: federator.yaml"], r"issuers\[0\].caFile: \S* cannot be used: .*; give PEM certificates"),
    ],
)
def test_a_slip_is_told_at_the_start(issuers: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentErrors, match=told):
        configured(tmp_path, *issuers)


def test_two_issuers_of_one_host_have_names_of_their_own(tmp_path: Path) -> None:
    assert configured(tmp_path, GOOD, GOOD.replace("org/", "org/b") + ", name: b").issuers is not None
