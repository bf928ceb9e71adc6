"""Backfill documents in the daemon, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from federator.daemon.service import NotFound
from federator.documents import DocumentErrors
from tests.daemon.federation import Federation, fake, named


def backfill(*, container: bool = True, run_s: float = 600.0, **spec: Any) -> dict[str, Any]:
    work: dict[str, Any] = {"requests": {"cpu": 1}, **spec.pop("work", {})}
    if container:
        work["container"] = {"command": ["simulate"], "env": {"FAKE_RUN_S": str(run_s)}}
    return named("Backfill", "lhc", {"workload": work, "keepFree": "0%", **spec})


async def test_a_backfill_is_applied_shown_kept_and_deleted(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    service = federation.daemon.service
    (applied,) = await service.apply([backfill(weight=2)], owner="me", permit=lambda queue: None)
    assert applied == {"kind": "Backfill", "name": "lhc", "result": "created"}

    await federation.crash()
    await federation.start()
    service = federation.daemon.service
    shown = await service.get("backfills", "lhc")
    assert (shown["name"], shown["weight"], shown["source"]) == ("lhc", 2, "api")
    assert [one["name"] for one in (await service.list("backfills")).items] == ["lhc"]

    await service.delete("backfills", "lhc", permit=lambda queue: None)
    with pytest.raises(NotFound):
        await service.get("backfills", "lhc")


async def test_one_that_says_nothing_to_run_is_refused_with_the_cure(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    with pytest.raises(DocumentErrors, match="does not say what its replicas run; give 'container'"):
        await federation.daemon.service.apply([backfill(container=False)], owner="me", permit=lambda queue: None)
