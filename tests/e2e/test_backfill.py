"""Backfill from end to end: real clusters full of it, and production that finds its room within the grace."""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.federator_process import Federator, batch, kubernetes, named, until, with_version
from tests.e2e.pilot_process import PilotProcess, grid, leases, pilot_token, url_of
from tests.servers.fixtures import KubernetesPair

pytestmark = pytest.mark.real
GRACE_S = 2.0
DEAF = ["sh", "-c", 'trap "" TERM; while :; do sleep 1; done']
MEANWHILE_S = 15.0
"""A cycle, the cluster's report, and a busy machine."""


def filler(command: Sequence[str], **container: Any) -> dict[str, Any]:
    held = {"image": "example.org/fill:1", "command": list(command), **container}
    work = {"requests": {"cpu": "1", "memory": "64Mi"}, "container": held}
    return named("Backfill", "fill", {"workload": work, "keepFree": "0%", "grace": f"{GRACE_S:g}s"})


def apply(federator: Federator, document: dict[str, Any]) -> None:
    federator.cli("apply", "-f", "-", stdin=yaml.safe_dump(with_version(document)))


def running(federator: Federator) -> int:
    shown = federator.http("/api/v1/backfills/fill")
    return int(shown["running"])


def evicted(federator: Federator) -> dict[str, float]:
    """``federator_backfill_evictions_total`` by cause."""
    text = federator.http("/metrics", accept="text/plain")
    line = r'^federator_backfill_evictions_total\{cause="(\w+)",cluster="\w+",filler="fill"\} (\S+)$'
    found = re.findall(line, text, re.MULTILINE)
    return {cause: float(count) for cause, count in found}


@pytest.fixture
def pilot(federator: Federator, tmp_path: Path) -> Iterator[Callable[..., PilotProcess]]:
    """A daemon with a cluster of pilots; starts one of four cores."""
    federator.write([grid()])
    federator.start()
    made: list[PilotProcess] = []

    def begin(*options: str) -> PilotProcess:
        made.append(PilotProcess(tmp_path, "one", url_of(federator), pilot_token(federator), *options))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.clean_up()


def classes(pilot: PilotProcess) -> set[int]:
    """How the processes of a pilot's payloads are scheduled. Some are on their way to it, others have just gone."""
    found = set()
    for pid in pilot.payloads():
        with contextlib.suppress(ProcessLookupError):
            found.add(os.sched_getscheduler(pid))
    return found


def test_a_pilot_drops_a_filler_that_ignores_sigterm_when_its_grace_is_over(
    federator: Federator, pilot: Callable[..., PilotProcess]
) -> None:
    one = pilot()
    apply(federator, filler(DEAF))
    until(lambda: running(federator) == 4, "the pilot to be full of backfill", federator.tail)
    until(lambda: classes(one) == {os.SCHED_IDLE}, "payloads to run on what is idle", lambda: f"{classes(one)}")
    began = time.monotonic()
    federator.submit(batch("work", 2, ["sh", "-c", federator.held]))
    federator.wait_for("work", lambda w: w["running"] == 2)
    took_s = time.monotonic() - began
    assert GRACE_S <= took_s <= GRACE_S + MEANWHILE_S, "they are deaf, so they had all of their grace"
    until(lambda: evicted(federator) == {"Preempted": 2.0}, "two displaced replicas to be counted", federator.tail)
    assert running(federator) == 2
    federator.let_go()
    federator.wait_for("work", lambda w: w["state"] == "finished")
    until(lambda: running(federator) == 4, "the cores to be filled again", federator.tail)


def test_a_pilot_with_nothing_but_backfill_has_no_work_and_leaves(
    federator: Federator, pilot: Callable[..., PilotProcess]
) -> None:
    apply(federator, filler(["sh", "-c", "while :; do sleep 1; done"]))
    one = pilot("--idle", "10")
    until(lambda: one.process is not None and one.process.poll() == 0, "the pilot to leave", one.tail)
    assert "there was no work for 10 s" in one.log.read_text()
    assert leases(federator)["granted"] == 4, "it had no backfill, so this test shows nothing"
    until(lambda: sum(evicted(federator).values()) == 4, "four evictions", lambda: f"{evicted(federator)}")
    assert "Preempted" not in evicted(federator), "nobody needed its room: it drained, and the plan may see that first"


def test_production_starts_on_an_api_server_that_is_full_of_backfill(
    federator: Federator, kubernetes_pair: KubernetesPair
) -> None:
    """The scheduler ends eight fillers for it; each task of the bag stays open, and runs again when there is room."""
    cern = kubernetes_pair.cern
    namespace = cern.plane.new_namespace(f"fill-{random.SystemRandom().randrange(16**6):06x}")
    federator.write([kubernetes("cern", cern.plane.kubeconfig, namespace)])
    federator.start()
    env = {"FAKE_KUBELET_RUNS_FOR": "1h", "FAKE_KUBELET_STOPS_AFTER": "1s", "FAKE_KUBELET_STOPS_WITH": "0"}
    apply(federator, filler(["simulate"], env=env))
    until(lambda: running(federator) == 24, "all 24 cores to be filled", federator.tail)
    began = time.monotonic()
    federator.submit(batch("work", 8, ["reconstruct"], container={"env": {"FAKE_KUBELET_RUNS_FOR": "15s"}}))
    federator.wait_for("work", lambda w: w["running"] == 8)
    assert time.monotonic() - began <= GRACE_S + MEANWHILE_S
    assert running(federator) <= 16
    done = federator.wait_for("work", lambda w: w["state"] == "finished")
    assert done["finished"] == 8
    until(lambda: running(federator) == 24, "the cores to be filled again", federator.tail)
    assert federator.http("/api/v1/backfills/fill")["finished"] == 0, "a task that saved what it had is not done"
