"""Whatever is wrong in a pilot's body is told in our words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from federator.api.pilot_bodies import BODIES, Body, LeaseRequest, PayloadFailure, PilotProgress, PilotRegistration
from federator.api.pilot_slips import MOST, slips
from tests.api.conftest import Api
from tests.api.test_pilots import PILOT, call

LEASE: dict[str, Any] = {"held": ["a/0/1"], "limit": 1, "waitSeconds": 0.5}
FAILURE: dict[str, Any] = {
    "lease": "a",
    "reason": "Error",
    "usage": {"cpuSeconds": 1},
    "ownFault": False,
    "exitCode": 1,
}
PROGRESS: dict[str, Any] = {"payloads": [{"lease": "a", "log": "x", "logFrom": 0, "checkpoint": "kept"}]}
GOOD: dict[type[Body], dict[str, Any]] = {
    PilotRegistration: PILOT, LeaseRequest: LEASE, PayloadFailure: FAILURE, PilotProgress: PROGRESS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (LeaseRequest, {"limit": "one"},
         'limit: must be a whole number, not "one"; send a number without quotes and without a point: 1'),
        (LeaseRequest, {"limit": 1.5},
         "limit: must be a whole number, not 1.5; send a number without quotes and without a point: 1"),
        (LeaseRequest, {"limit": 1001}, "limit: 1001 is too large; the most is 1000"),
        (LeaseRequest, {"waitSeconds": -1}, "waitSeconds: -1 is too small; the least is 0"),
        (LeaseRequest, {"waitSeconds": None},
         "waitSeconds: must be a number, not null; send a number without quotes: 1.5"),
        (LeaseRequest, {"held": "a"}, 'held: must be a list, not "a"; send a list: ["a", "b"]'),
        (LeaseRequest, {"held": ["a"] * 10_001}, "held: has 10001 entries; the most is 10000"),
        (LeaseRequest, {"held": ["a", 7]}, 'held[1]: must be a text, not 7; send a text in quotes: "a"'),
        (LeaseRequest, {"limits": 1}, "limits: there is no 'limits' here; did you mean 'limit'?"),
        (PilotRegistration, {"name": "../etc"}, 'name: "../etc" is no name; use 1 to 127 letters, digits, '
         "'.', '_' and '-', with a letter or digit at both ends"),
        (PilotRegistration, {"protocol": 2}, "protocol: the number 2 is not one of 1; write one of: 1"),
        (PilotRegistration, {"runtimes": []}, "runtimes: has 0 entries; the least is 1"),
        (PilotRegistration, {"runtimes": ["docker"]},
         "runtimes[0]: the text 'docker' is not one of process, apptainer, podman; "
         "write one of: apptainer, podman, process"),
        (PilotRegistration, {"resources": {"cpu": "8"}},
         'resources.cpu: must be a number, not "8"; send a number without quotes: 1.5'),
        (PilotRegistration, {"resources": 8}, 'resources: must be an object, not 8; send an object: {"key": value}'),
        (PayloadFailure, {"reason": "no reason"},
         'reason: "no reason" is no reason; write one word of letters and digits that '
         "begins with a capital, such as Error"),
        (PayloadFailure, {"ownFault": "yes"},
         'ownFault: must be true or false, not "yes"; send true or false, without quotes'),
        (PilotProgress, {"payloads": [{}]}, "payloads[0].lease: is missing; send it"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_field_what_is_wrong_and_what_would_be_right(
    kind: type[Body], change: dict[str, Any], told: str
) -> None:
    one = wrong_in(kind, json.dumps({**GOOD[kind], **change}))[0]
    assert f"{one['field']}: {one['message']}; {one['cure']}" == told


def wrong_in(kind: type[Body], text: str) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as found:
        kind.model_validate_json(text)
    return slips(found.value, kind)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=30),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=400), below, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(BODIES), VALUES, st.dictionaries(st.sampled_from(["held", "lease", "name", "x"]), VALUES), st.data()
)
def test_no_word_of_the_library_is_shown(
    kind: type[Body], whole: Any, more: dict[str, Any], data: st.DataObject
) -> None:
    """Any value in the place of any field, and of the whole body."""
    fields = [field.alias or name for name, field in kind.model_fields.items()]
    changes = {data.draw(st.sampled_from(fields)): data.draw(VALUES), **more}
    for body in (whole, {**GOOD.get(kind, {}), **changes}):
        try:
            kind.model_validate_json(json.dumps(body))
        except ValidationError as error:
            raw = {one["msg"][:1].lower() + one["msg"][1:] for one in error.errors()}
            told = slips(error, kind)
            assert 1 <= len(told) <= MOST
            for one in told:
                assert one["message"] not in raw
                assert one["message"]
                assert one["cure"]
                assert "should" not in one["message"] + one["cure"] or "should" in json.dumps(body)


async def test_many_slips_are_told_in_part_and_no_json_is_told_as_such(api: Api) -> None:
    status, problem = await call(api, "/p/heartbeat", {"held": [1] * 50})
    assert (status, len(problem["errors"])) == (422, MOST)
    assert problem["detail"] == 'held[0]: must be a text, not 1; send a text in quotes: "a"'
    headers = {"Content-Type": "application/json"}
    status, problem, _ = await api.call(
        "POST", "/api/v1/pilots/p/heartbeat", role="pilot", data=b'{"held": [', headers=headers
    )
    assert (status, problem["type"]) == (400, "urn:federator:problem:malformed")
    assert problem["detail"] == "the body is no JSON: EOF while parsing a list at line 1 column 10"
