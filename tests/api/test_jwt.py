"""Tokens that others issue. All keys are made here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.warnings import InsecureKeyLengthWarning

from federator.api.access import Access, Forbidden, NotIdentified, Role
from federator.api.jwks import KeySet
from federator.api.jwt import IssuerSettings, JwtIssuers

ISSUER = "https://issuer.example.org"
AUDIENCE = "https://federator.example.org"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)
SETTINGS = IssuerSettings(
    name="wlcg",
    issuer=ISSUER,
    audiences=(AUDIENCE,),
    groups={"/atlas*": ("atlas*",), "/cms/prod": ("cms-prod", "cms-test")},
    operators=("/federator/operators",),
)
TO_JWK: dict[str, Callable[..., Any]] = {
    "RS256": jwt.algorithms.RSAAlgorithm.to_jwk,
    "ES256": jwt.algorithms.ECAlgorithm.to_jwk,
    "EdDSA": jwt.algorithms.OKPAlgorithm.to_jwk,
}


def jwk(algorithm: str, key: Any, kid: str) -> dict[str, Any]:
    return {**TO_JWK[algorithm](key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


def jwks(*more: dict[str, Any]) -> str:
    ours = [jwk(algorithm, key, f"key-{algorithm}") for algorithm, key in KEYS.items()]
    oct_key = {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric"}
    return json.dumps({"keys": [*ours, jwk("RS256", WEAK, "weak"), oct_key, *more]})


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": ISSUER, "sub": "9f3c-77", "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600,
        "wlcg.ver": "1.0", "scope": "compute.read compute.create storage.read:/", "wlcg.groups": ["/atlas/prod"],
    }  # fmt: skip
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def signed(algorithm: str = "RS256", key: Any = None, kid: str | None = "", **changes: Any) -> str:
    headers = {"kid": kid or f"key-{algorithm}"} if kid is not None else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # of the weak key, which is there to be refused
        return jwt.encode(claims(**changes), key or KEYS[algorithm], algorithm=algorithm, headers=headers)


def by_hand(header: dict[str, Any], payload: bytes, secret: bytes = b"") -> str:
    """A token that no library would make."""
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), payload))
    signature = hmac.new(secret, body, hashlib.sha256).digest() if secret else b""
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def fetching(texts: dict[str, str], asked: list[str] | None = None) -> Callable[[str], Awaitable[str]]:
    async def fetch(url: str) -> str:
        if asked is not None:
            asked.append(url)
        if url not in texts:
            raise OSError("404")
        return texts[url]

    return fetch


WELL_KNOWN = {
    f"{ISSUER}/.well-known/openid-configuration": json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}),
    f"{ISSUER}/jwks": jwks(),
}


def access(settings: IssuerSettings = SETTINGS, texts: dict[str, str] | None = None) -> Access:
    return Access(issuers=JwtIssuers([settings], lambda _: fetching(WELL_KNOWN if texts is None else texts)))


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_token_of_a_trusted_issuer_brings_its_scopes_and_queues(algorithm: str) -> None:
    gate = access()
    who = await gate.identify(f"Bearer {signed(algorithm)}")
    assert who.name == "9f3c-77@wlcg"
    gate.may(who, "read", "cms")
    gate.may(who, "submit", "atlas-mc")
    for action, queue, words in (
        ("submit", "cms-prod", "may use atlas*, not queue cms-prod"),
        ("cancel", "atlas-mc", "is not for this"),
        ("operate", None, "role operator"),
        ("submit", "*", "may not operate"),
    ):
        with pytest.raises(Forbidden, match=words.replace("*", r"\*")):
            gate.may(who, action, queue)


@pytest.mark.parametrize(
    ("scope", "actions"),
    [
        ("compute.read", {"read"}),
        ("compute.create", {"submit"}),
        ("compute.modify", {"modify"}),
        ("compute.cancel compute.read", {"cancel", "read"}),
        (["compute.read", "compute.create"], {"read", "submit"}),
        ("storage.read:/ openid", set()),
        ("compute.create:/atlas xcompute.read", set()),
        (None, set()),
        (7, set()),
    ],
)
async def test_scopes_are_all_that_a_token_may_do(scope: object, actions: set[str]) -> None:
    who = await access().identify(f"Bearer {signed(scope=scope)}")
    assert who.may == actions


@pytest.mark.parametrize(
    ("groups", "queues"),
    [
        ({"wlcg.groups": ["/atlas", "/cms/prod"]}, ("atlas*", "cms-prod", "cms-test")),
        ({"wlcg.groups": None, "groups": ["/cms/prod"]}, ("cms-prod", "cms-test")),
        ({"wlcg.groups": None, "groups": "/atlas /lhcb"}, ("atlas*",)),
        ({"wlcg.groups": [7, None, "/lhcb"]}, ()),
        ({"wlcg.groups": None}, ()),
    ],
)
async def test_groups_become_queues(groups: dict[str, Any], queues: tuple[str, ...]) -> None:
    assert (await access().identify(f"Bearer {signed(**groups)}")).queues == queues


async def test_operators_are_a_group_and_no_more_than_their_scopes() -> None:
    gate = access()
    members = {"wlcg.groups": ["/federator/operators"]}
    whole = await gate.identify(f"Bearer {signed(scope='openid', **members)}")
    assert whole.roles == {Role.OPERATOR}
    gate.may(whole, "operate")
    narrow = await gate.identify(f"Bearer {signed(scope='compute.read', **members)}")
    with pytest.raises(Forbidden, match="is not for this"):
        gate.may(narrow, "operate")


@pytest.mark.parametrize("audience", ["ANY", ["other", "https://wlcg.cern.ch/jwt/v1/any"], [AUDIENCE, "other"]])
async def test_audiences_that_mean_us(audience: object) -> None:
    assert (await access().identify(f"Bearer {signed(aud=audience)}")).name == "9f3c-77@wlcg"


async def test_tokens_for_any_service_can_be_refused() -> None:
    strict = IssuerSettings(name="wlcg", issuer=ISSUER, audiences=(AUDIENCE,), any_audience=False)
    with pytest.raises(NotIdentified, match="another service"):
        await access(strict).identify(f"Bearer {signed(aud='ANY')}")


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    assert await access().identify(f"Bearer {signed(exp=now - 30, nbf=now + 30, iat=now + 30)}")


PUBLIC_PEM = KEYS["RS256"].public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
NOW = int(time.time())
UNREADABLE = "cannot be read"
BAD_TOKENS: dict[str, tuple[str, str]] = {
    "expired": (signed(exp=NOW - 3600), "has expired"),
    "not yet valid": (signed(nbf=NOW + 3600), "not valid yet"),
    "issued in the future": (signed(iat=NOW + 3600), "not valid yet"),
    "for another service": (signed(aud="https://other.example.org"), "another service"),
    "of a stranger": (signed(iss="https://evil.example.org"), "not trusted"),
    "of an issuer that is no text": (
        by_hand({"alg": "RS256"}, b'{"iss": ["' + ISSUER.encode() + b'"]}'),
        "not trusted",
    ),
    "issuer with a slash more": (signed(iss=ISSUER + "/"), "not trusted"),
    "no expiry": (signed(exp=None), "lacks one of the claims"),
    "no subject": (signed(sub=None), "lacks one of the claims"),
    "no audience": (signed(aud=None), "lacks one of the claims"),
    "no issuer": (signed(iss=None), "not trusted"),
    "expiry is no number": (signed(exp="never"), UNREADABLE),
    "expiry is not a number at all": (
        by_hand({"alg": "RS256", "kid": "key-RS256"}, b'{"iss": "%s", "exp": NaN}' % ISSUER.encode()),
        "signature does not match",
    ),
    "subject with a line break": (signed(sub="a\nb"), UNREADABLE),
    "subject with a terminal's escape": (signed(sub="\x1b[31m"), UNREADABLE),
    "wrong key": (signed(key=STRANGER), "signature does not match"),
    "unknown key id": (signed(kid="key-of-nobody"), "does not show"),
    "no key id among many keys": (signed(kid=None), "does not show"),
    "weak key": (signed(key=WEAK, kid="weak"), "too weak"),
    "symmetric key in the set": (signed(kid="symmetric"), "does not show"),
    "wrong algorithm": (signed("RS512", KEYS["RS256"], "key-RS256"), "not signed with"),
    "another key's algorithm": (signed("ES256", KEYS["ES256"], "key-RS256"), "not signed with"),
    "none": (by_hand({"alg": "none"}, json.dumps(claims()).encode()), "not signed with"),
    "NONE": (by_hand({"alg": "NONE"}, json.dumps(claims()).encode()), "not signed with"),
    "no algorithm": (by_hand({}, json.dumps(claims()).encode()), "not signed with"),
    "HS256 with the public key as its secret": (
        by_hand({"alg": "HS256", "kid": "key-RS256"}, json.dumps(claims()).encode(), PUBLIC_PEM),
        "not signed with",
    ),
    "RS256 in name, HMAC with the public key": (
        by_hand({"alg": "RS256", "kid": "key-RS256"}, json.dumps(claims()).encode(), PUBLIC_PEM),
        "signature does not match",
    ),
    "cut": (signed()[:-20], "signature does not match|cannot be read"),
    "changed": (signed().replace(".", ".e", 1), UNREADABLE),
    "no payload": ("eyJhbGciOiJSUzI1NiJ9..x", UNREADABLE),
    "payload is no object": (by_hand({"alg": "RS256"}, b"[]"), UNREADABLE),
    "payload nested deeply": (by_hand({"alg": "RS256"}, b"[" * 4000), UNREADABLE),
    "critical extension": (
        jwt.encode(claims(), KEYS["RS256"], "RS256", headers={"kid": "key-RS256", "crit": ["x"], "x": 1}),
        UNREADABLE,
    ),
    "garbage": ("garbage", UNREADABLE),
    "dots": ("...", UNREADABLE),
    "oversized": (signed(padding="x" * 20_000), "longer than"),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
async def test_bad_tokens_are_refused_in_their_own_words(what: str) -> None:
    token, words = BAD_TOKENS[what]
    with pytest.raises(NotIdentified, match=words) as refusal:
        await access().identify(f"Bearer {token}")
    said = str(refusal.value) + refusal.value.www_authenticate
    for secret in (token, token.split(".")[-1], "9f3c-77", ISSUER, AUDIENCE):
        assert not secret or secret not in said, "the answer repeats the token or tells of our settings"


def test_the_table_of_bad_tokens_starts_from_a_good_one() -> None:
    assert len({words for _, words in BAD_TOKENS.values()}) >= 12


async def test_without_an_id_the_only_key_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("ES256", KEYS["ES256"], "only")]}))
    settings = IssuerSettings(name="f", issuer=ISSUER, audiences=(AUDIENCE,), jwks_file=file)
    assert (await access(settings, {}).identify(f"Bearer {signed('ES256', kid=None)}")).name == "9f3c-77@f"


async def test_a_key_not_seen_before_is_looked_up_once_a_minute() -> None:
    """The issuer changes its keys; then somebody sends tokens with invented ones, as fast as they can."""
    shown, asked, now_s = {"u": jwks()}, list[str](), 0.0
    fetch = fetching(shown, asked)
    keys = KeySet("test", lambda: fetch("u"), lambda: now_s)
    await keys.find("key-RS256")
    await keys.find("key-ES256")
    assert len(asked) == 1, "kept"

    shown["u"] = jwks(jwk("RS256", STRANGER, "new"))
    now_s = 61.0
    await keys.find("new")
    assert len(asked) == 2

    for number in range(100):
        with pytest.raises(NotIdentified, match="does not show"):
            await keys.find(f"invented-{number}")
    assert len(asked) == 2, "at most once a minute"


async def test_a_key_that_was_withdrawn_does_not_stay_good() -> None:
    shown, now_s = {"u": jwks(jwk("RS256", STRANGER, "stolen"))}, 0.0
    fetch = fetching(shown)
    keys = KeySet("test", lambda: fetch("u"), lambda: now_s)
    await keys.find("stolen")
    shown["u"] = jwks()
    now_s = 3601.0
    with pytest.raises(NotIdentified, match="does not show"):
        await keys.find("stolen")


UNUSABLE = ["", "{}", '{"keys": []}', '{"keys": [7, {"kty": "oct", "k": "eA"}]}', "[]", "<html>"]


@pytest.mark.parametrize("text", UNUSABLE)
async def test_keys_that_cannot_be_had_now_leave_those_from_before_for_a_day(text: str) -> None:
    shown, now_s = {"u": text}, 0.0
    fetch = fetching(shown)
    keys = KeySet("test", lambda: fetch("u"), lambda: now_s)
    with pytest.raises(NotIdentified, match="cannot be had now; try again"):
        await keys.find("key-RS256")
    shown["u"], now_s = jwks(), 61.0
    assert await keys.find("key-RS256")
    shown["u"], now_s = text, 7200.0
    assert await keys.find("key-RS256"), "an issuer that is away for a while locks nobody out"
    with pytest.raises(NotIdentified, match="does not show"):
        await keys.find("another")
    del shown["u"]
    now_s = 61.0 + 86_400.0
    assert await keys.find("key-RS256")
    now_s += 1.0
    for kid in ("key-RS256", "another", None):
        with pytest.raises(NotIdentified, match="cannot be had now; try again"):
            await keys.find(kid)
    shown["u"] = jwks()
    now_s += 60.0
    assert await keys.find("key-RS256"), "it is back"


async def test_an_issuer_that_is_slow_holds_up_nobody_whose_key_is_known() -> None:
    """The keys are stale, and the issuer takes its time: one caller waits for it, and whoever has an unknown key."""
    answers, asked, now_s = asyncio.Event(), 0, 0.0
    answers.set()

    async def source() -> str:
        nonlocal asked
        asked += 1
        await answers.wait()
        return jwks(jwk("RS256", STRANGER, "new")) if asked > 1 else jwks()

    keys = KeySet("test", source, lambda: now_s)
    await keys.find("key-RS256")
    answers.clear()
    now_s = 3601.0
    first, unknown = (asyncio.create_task(keys.find(kid)) for kid in ("key-RS256", "new"))
    await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.wait_for(keys.find("key-ES256"), 1)
    assert not first.done()
    assert not unknown.done()
    answers.set()
    assert (await first).key_id == "key-RS256"
    assert (await unknown).key_id == "new"
    assert asked == 2


@pytest.mark.parametrize("uri", ["http://issuer.example.org/jwks", "file:///etc/passwd", 7, None])
async def test_keys_come_over_https_only(uri: object) -> None:
    description = json.dumps({"issuer": ISSUER, "jwks_uri": uri})
    texts = {f"{ISSUER}/.well-known/openid-configuration": description, str(uri): jwks()}
    with pytest.raises(NotIdentified, match="cannot be had"):
        await access(texts=texts).identify(f"Bearer {signed()}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://issuer.example.org"},
        {"jwks_url": "http://issuer.example.org/jwks"},
        {"audiences": ()},
        {"name": ""},
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="issuer"):
        IssuerSettings(**{"name": "x", "issuer": ISSUER, "audiences": (AUDIENCE,), **wrong})
