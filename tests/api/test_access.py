"""Bearer tokens of our own, and what each role may do."""

from __future__ import annotations

import hashlib

import pytest

from federator.api.access import Access, Forbidden, Identity, NotIdentified, Role, digest, new_token

NOW_S = 1_000_000.0

READER = Identity("rita", frozenset({Role.READER}))
SUBMITTER = Identity("sam", frozenset({Role.SUBMITTER}), ("atlas*", "shared"))
OPERATOR = Identity("olga", frozenset({Role.OPERATOR}))
PILOT = Identity("pia", frozenset({Role.PILOT}), site="north")

ALLOWED = [
    (READER, "read", None),
    (READER, "read", "cms"),
    (SUBMITTER, "read", "cms"),
    (SUBMITTER, "submit", None),
    (SUBMITTER, "submit", "atlas-prod"),
    (SUBMITTER, "modify", "shared"),
    (SUBMITTER, "cancel", "atlas"),
    (SUBMITTER, "read", "*"),
    (OPERATOR, "submit", "cms"),
    (OPERATOR, "submit", "*"),
    (OPERATOR, "operate", None),
    (PILOT, "pilot", None),
]
REFUSED = [
    (READER, "submit", None, "role submitter or operator, the token has reader"),
    (READER, "operate", None, "role operator"),
    (SUBMITTER, "submit", "cms", "may use atlas*, shared, not queue cms"),
    (SUBMITTER, "cancel", "cms", "not queue cms"),
    (SUBMITTER, "operate", None, "role operator, the token has submitter"),
    (SUBMITTER, "submit", "*", "may not operate"),
    (Identity("max", frozenset({Role.SUBMITTER}), ("*",)), "submit", "*", "may not operate"),
    (Identity("nil", frozenset({Role.SUBMITTER})), "submit", "atlas", "no queue at all"),
    (OPERATOR, "pilot", None, "role pilot"),
    (PILOT, "read", None, "role reader or submitter or operator"),
    (Identity("zoe", frozenset()), "read", None, "the token has none"),
    (OPERATOR, "fly", None, "role (none)"),
]


def bearer(text: str) -> str:
    return f"Bearer {text}"


@pytest.mark.parametrize(("identity", "action", "queue"), ALLOWED)
def test_each_role_may_do_what_it_is_for(identity: Identity, action: str, queue: str | None) -> None:
    Access().may(identity, action, queue)


@pytest.mark.parametrize(("identity", "action", "queue", "words"), REFUSED)
def test_a_refusal_says_what_is_missing(identity: Identity, action: str, queue: str | None, words: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        Access().may(identity, action, queue)
    assert words in str(refusal.value)
    assert identity.name in str(refusal.value)


def test_a_pilot_works_for_its_own_site_only() -> None:
    Access().may(PILOT, "pilot", site="north")
    with pytest.raises(Forbidden, match="belongs to site 'north' and may not work for 'south'"):
        Access().may(PILOT, "pilot", site="south")


async def test_a_new_token_is_known_by_its_hash_alone() -> None:
    text, token = new_token("sam", [Role.SUBMITTER], ["atlas*"], expires_s=NOW_S + 60)
    assert text.startswith("fed_sam_")
    assert text not in repr(token)
    assert text.rpartition("_")[2] not in repr(token)
    assert token.sha256 == hashlib.sha256(text.encode()).hexdigest() == digest(text)
    access = Access([token], now_s=lambda: NOW_S)
    assert await access.identify(bearer(text)) == Identity("sam", frozenset({Role.SUBMITTER}), ("atlas*",))
    assert await access.identify(f"bearer  {text}") == await access.identify(bearer(text))


def test_two_tokens_of_one_name_have_different_secrets() -> None:
    assert new_token("a", [Role.READER])[0] != new_token("a", [Role.READER])[0]


@pytest.mark.parametrize("name", ["", "a b", "a_b", "-a", "a@b", "a\n", "ä", "x" * 64])
def test_a_token_needs_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits, dots and dashes"):
        new_token(name, [Role.READER])


def test_a_pilots_token_needs_a_site() -> None:
    with pytest.raises(ValueError, match="needs the site"):
        new_token("p", [Role.PILOT])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (None, "send a token"),
        ("", "send a token"),
        ("Basic dXNlcjpwdw==", "must read"),
        ("Bearer", "must read"),
        ("Bearer ", "must read"),
        ("Bearer a b", "must read"),
        ("Bearer fed_sam_\x00", "must read"),
        ("Bearer fed_sam_" + "0" * 64, "not known here"),
        ("Bearer fed_", "not known here"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "not known here"),
        ("Bearer " + "a" * 20_000, "longer than"),
    ],
)
async def test_who_shows_no_good_token_is_nobody(header: str | None, words: str) -> None:
    text, token = new_token("sam", [Role.READER])
    with pytest.raises(NotIdentified, match=words) as refusal:
        await Access([token]).identify(header)
    assert text not in str(refusal.value)
    challenge = refusal.value.www_authenticate
    assert challenge.startswith('Bearer realm="federator"')
    assert ("error=" in challenge) == bool(header), "RFC 6750: no error code for a request without a token"


async def test_a_hash_that_has_leaked_opens_nothing() -> None:
    _, token = new_token("sam", [Role.OPERATOR])
    for text in (token.sha256, f"fed_sam_{token.sha256}"):
        with pytest.raises(NotIdentified):
            await Access([token]).identify(bearer(text))


async def test_a_token_ends_when_it_says() -> None:
    text, token = new_token("sam", [Role.READER], expires_s=NOW_S)
    now_s = NOW_S - 1
    access = Access([token], now_s=lambda: now_s)
    assert (await access.identify(bearer(text))).name == "sam"
    now_s = NOW_S
    with pytest.raises(NotIdentified, match="expired"):
        await access.identify(bearer(text))


async def test_tokens_can_be_replaced_while_running() -> None:
    old, old_token = new_token("sam", [Role.READER])
    new, new_one = new_token("sam", [Role.READER])
    access = Access([old_token])
    await access.identify(bearer(old))
    access.set_tokens([new_one])
    assert (await access.identify(bearer(new))).name == "sam"
    with pytest.raises(NotIdentified, match="not known"):
        await access.identify(bearer(old))


def test_a_banned_user_is_refused_from_the_next_request_on() -> None:
    access = Access()
    access.may(SUBMITTER, "read")
    access.banned_users = ("sam",)
    with pytest.raises(Forbidden, match="sam is banned here"):
        access.may(SUBMITTER, "read")
    access.may(READER, "read")
    access.banned_users = ()
    access.may(SUBMITTER, "read")


def test_a_banned_queue_takes_no_work_but_lets_it_be_cancelled() -> None:
    access = Access(banned_queues=["atlas*"])
    for identity in (SUBMITTER, OPERATOR):
        with pytest.raises(Forbidden, match="queue atlas-prod is banned"):
            access.may(identity, "submit", "atlas-prod")
        access.may(identity, "cancel", "atlas-prod")
        access.may(identity, "read", "atlas-prod")
        access.may(identity, "submit", "shared")
