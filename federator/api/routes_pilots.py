"""What pilots call: register, lease, heartbeat, progress, complete, fail, drain, goodbye. Each may be repeated.

A token of role pilot reaches the pilots of its own site alone: there, a name is only looked for among those. None of
these calls but the registration is in the audit trail: the leases themselves are kept, and say who had what and when.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from federator.api import pilot_bodies as bodies
from federator.api.call import Call, Route, answer
from federator.model.pilots import Mail
from federator.ports import PilotSite


async def register(call: Call) -> web.StreamResponse:
    """A pilot joins the cluster that its token is for."""
    assert call.identity is not None
    body = bodies.read(call, bodies.PilotRegistration)
    pilot = bodies.pilot_of(body, call.identity.site, time.time())
    call.access.may(call.identity, call.route.action, site=pilot.cluster)
    call.detail = f"register pilot {pilot.name} at {pilot.cluster}"
    mail = await call.service.register_pilot(pilot)
    return answer({"protocol": bodies.PROTOCOL, "cluster": pilot.cluster, "leaseSeconds": mail.lease_s})


async def lease(call: Call) -> web.StreamResponse:
    """Work for a pilot; with nothing to tell, the answer waits."""
    body = bodies.read(call, bodies.LeaseRequest)
    me = asyncio.current_task()
    assert me is not None
    call.streams.add(me)  # so that a stop of the server does not wait for it
    try:
        return _told(await _site(call).lease(call.name, body.held, body.limit, body.wait_seconds))
    finally:
        call.streams.discard(me)


async def heartbeat(call: Call) -> web.StreamResponse:
    """Renew leases."""
    body = bodies.read(call, bodies.PilotHeartbeat)
    return _told(await _site(call).heartbeat(call.name, body.held))


async def progress(call: Call) -> web.StreamResponse:
    """Hear of payloads that run."""
    body = bodies.read(call, bodies.PilotProgress)
    return _told(await _site(call).progress(call.name, bodies.progress_of(body)))


async def complete(call: Call) -> web.StreamResponse:
    """A payload has succeeded."""
    body = bodies.read(call, bodies.PayloadEnd)
    await _site(call).finish(call.name, body.lease, bodies.result_of(body))
    return answer({"lease": body.lease, "result": "counted"})


async def fail(call: Call) -> web.StreamResponse:
    """A payload has failed, or was not started."""
    body = bodies.read(call, bodies.PayloadFailure)
    await _site(call).finish(call.name, body.lease, bodies.result_of(body))
    return answer({"lease": body.lease, "result": "counted"})


async def drain(call: Call) -> web.StreamResponse:
    """A pilot takes no more work."""
    return _told(await _site(call).drain(call.name))


async def goodbye(call: Call) -> web.StreamResponse:
    """A pilot ends."""
    await _site(call).goodbye(call.name)
    return answer({"result": "gone"})


def _site(call: Call) -> PilotSite:
    """The caller's own site, where alone its pilots are looked for."""
    assert call.identity is not None
    return call.service.site_of_pilot(call.name, call.identity.site)


def _told(mail: Mail) -> web.StreamResponse:
    return answer(bodies.mail_json(mail))


def _of_pilot(verb: str, text: str, body: str, result: str = "PilotMail", *more: int) -> Route:
    handlers = {f.__name__: f for f in (lease, heartbeat, progress, complete, fail, drain, goodbye)}
    return Route(
        "POST",
        f"/api/v1/pilots/{{name}}/{verb}",
        handlers[verb],
        f"pilot_{verb}",
        text,
        action="pilot",
        body=body,
        result=result,
        statuses=(404, 422, 503, *more),
        tag="pilots",
        needs_body=bool(body),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/api/v1/pilots",
        register,
        "register_pilot",
        "A pilot joins its cluster, or describes itself anew.",
        action="pilot",
        body="PilotRegistration",
        result="PilotRegistered",
        write=True,
        repeatable=False,
        statuses=(404, 409),
        tag="pilots",
    ),
    _of_pilot("lease", "Work that fits the pilot; long poll.", "LeaseRequest"),
    _of_pilot("heartbeat", "Renew leases, all in one call.", "PilotHeartbeat"),
    _of_pilot("progress", "Payloads run; output that was asked for.", "PilotProgress"),
    _of_pilot("complete", "A payload succeeded; 409 where that does not count.", "PayloadEnd", "PayloadCounted", 409),
    _of_pilot("fail", "A payload failed; 409 where that does not count.", "PayloadFailure", "PayloadCounted", 409),
    _of_pilot("drain", "The pilot takes no more work.", ""),
    _of_pilot("goodbye", "The pilot ends; what it still holds is void.", "", "PilotGone"),
)
