"""The same container under a pilot by Apptainer and by Podman as anywhere: command, environment, directory, exit code,
logs; what it can see and reach; what becomes of it when its lease or its pilot ends."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from federator.processes import cpu_seconds
from tests.e2e.federator_process import Federator, batch, named, until, with_version
from tests.e2e.pilot_process import PilotProcess, pilot_token, url_of
from tests.servers.apptainer import find_apptainer
from tests.servers.podman import find_podman, import_image, packed
from tests.servers.processes import remove_directory, temporary_directory
from tests.web_store import WebStore

pytestmark = pytest.mark.real

IMAGE = "localhost/small:1"
LOOK = "echo replica $FEDERATOR_REPLICA_INDEX of $WHO in $PWD; env; cat /proc/self/status; echo pids; ls /proc"
BURNS = """
trap "exit 75" TERM
cd $FEDERATOR_CHECKPOINT_DIR; n=$(cat n || echo 0); echo began at $n
while true; do
  n=$((n + 1)); echo $n > new; busybox mv new n
  i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done
done
"""


@dataclass(frozen=True)
class Place:
    """A pilot that runs nothing but images, one that all runtimes have, and what Podman has left."""

    pilot: PilotProcess
    image: str
    containers: Callable[[], str]


@pytest.fixture
def apptainer(monkeypatch: pytest.MonkeyPatch) -> str:
    """Apptainer in PATH; the image it has unpacked."""
    monkeypatch.setenv("PATH", str(find_apptainer().programs), prepend=":")
    return "/image"


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Podman in PATH; the image it has."""
    found, folder = find_podman(), temporary_directory("podman")  # it takes no long names
    for name, value in found.settle(folder).items():
        monkeypatch.setenv(name, value, prepend=":" if name == "PATH" else None)
    import_image(packed(found.image, tmp_path / "image.tar"), IMAGE)
    yield IMAGE
    subprocess.run(["podman", "rm", "--force", "--all", "--time", "0"], check=True)
    remove_directory(folder)


@pytest.fixture(params=["apptainer", "podman"])
def place(request: pytest.FixtureRequest, federator: Federator, tmp_path: Path) -> Iterator[Place]:
    """A daemon with a cluster of pilots, and one pilot."""
    image: str = request.getfixturevalue(request.param)
    federator.write([named("Cluster", "grid", {"provider": "pilots", "pilots": {"lease": "10s", "margin": "0s"}})])
    federator.start()
    pilot = PilotProcess(tmp_path, "one", url_of(federator), pilot_token(federator), runtime=request.param)
    pilot.start()
    yield Place(pilot, image, containers if request.param == "podman" else str)
    pilot.clean_up()


def containers() -> str:
    """Whatever containers Podman knows, running or not, by their names."""
    command = ["podman", "ps", "--all", "--format", "{{.Names}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measured(federator: Federator) -> float:
    """Processor time of backfill that has ended."""
    text = federator.http("/metrics", accept="text/plain")
    found = re.search(r"^federator_backfill_measured_cpu_seconds_total{.*} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def shell(image: str, script: str, **more: Any) -> dict[str, Any]:
    """A container that runs a script."""
    return {"image": image, "command": ["sh", "-c", script], **more}


def test_an_image_runs_as_elsewhere(federator: Federator, place: Place) -> None:
    federator.submit(batch("look", 2, [], container=shell(place.image, LOOK, env={"WHO": "a,b  c\nd=$(HOME)"})))
    federator.wait_for("look", lambda w: w["state"] == "finished")
    text = federator.cli("logs", "look", "--replica", "1")
    assert "replica 1 of a,b c d=$(HOME) in /work" in text
    assert {"FEDERATOR_WORKLOAD=look", "FEDERATOR_CLUSTER=grid", "FEDERATOR_REPLICA_INDEX=1"} <= set(text.splitlines())
    assert "NoNewPrivs:\t1" in text
    assert "CapEff:\t0000000000000000" in text
    pids = [int(line) for line in text.partition("\npids\n")[2].splitlines() if line.isdigit()]
    assert pids
    assert max(pids) < 100, "it has process ids of its own"
    until(lambda: not (place.pilot.payloads() or place.containers()), "nothing to be left", place.containers)


def test_it_reaches_neither_the_pilot_nor_its_token(federator: Federator, place: Place) -> None:
    pilot, token = place.pilot, federator.folder / "token-grid"
    assert pilot.process is not None
    script = f"cat {token}; ls {pilot.spool}; kill -9 {pilot.process.pid}; kill -9 {os.getpid()}; env; echo done"
    federator.submit(batch("pry", 1, [], container=shell(place.image, script)))
    federator.wait_for("pry", lambda w: w["state"] == "finished")
    text = federator.cli("logs", "pry")
    assert "done" in text
    assert token.read_text().strip() not in text
    assert text.count("No such file or directory") == 2
    assert text.count("No such process") == 2
    assert pilot.process.poll() is None


def test_its_folder_is_below_its_own_where_it_is_relative(federator: Federator, place: Place) -> None:
    container = shell(place.image, "pwd; echo x > y; cat /work/deep/down/y", workingDir="deep/down")
    federator.submit(batch("deep", 1, [], container=container))
    federator.wait_for("deep", lambda w: w["state"] == "finished")
    assert federator.cli("logs", "deep").split() == ["/work/deep/down", "x"]


def test_a_failure_inside_has_its_own_exit_code(federator: Federator, place: Place) -> None:
    federator.submit(batch("fails", 1, [], container=shell(place.image, "echo oh no; exit 7"), retries=0))
    failed = federator.wait_for("fails", lambda w: w["state"] == "failed")
    assert "exited with 7: oh no" in str(federator.http("/api/v1/workloads/fails/history")) + failed["message"]


def test_a_container_that_is_cancelled_leaves_nothing_running(federator: Federator, place: Place) -> None:
    federator.submit(
        batch("long", 1, [], container=shell(place.image, "trap '' TERM; sleep 600 & sleep 600; sleep 600"))
    )
    federator.wait_for("long", lambda w: w["running"] == 1)
    until(lambda: len(place.pilot.payloads()) >= 3, "its processes")
    federator.cli("cancel", "long")
    federator.wait_for("long", lambda w: w["state"] == "cancelled")
    until(lambda: not (place.pilot.payloads() or place.containers()), "nothing to be left", place.containers)


def test_who_holds_more_memory_than_it_may_is_ended(federator: Federator, place: Place) -> None:
    big = shell(place.image, "busybox dd if=/dev/zero of=/dev/null bs=400M count=100000")
    federator.submit(batch("big", 1, [], container=big, retries=0))
    failed = federator.wait_for("big", lambda w: w["state"] == "failed")
    assert "MiB of memory, may hold" in str(federator.http("/api/v1/workloads/big/history")) + failed["message"]
    until(lambda: not (place.pilot.payloads() or place.containers()), "nothing to be left", place.containers)


def test_a_pilot_that_is_killed_leaves_nothing_and_is_found_again(federator: Federator, place: Place) -> None:
    federator.submit(batch("long", 2, [], container=shell(place.image, "echo ready; sleep 600")))
    federator.wait_for("long", lambda w: w["running"] == 2)
    for index in "01":
        until(lambda index=index: "ready" in federator.try_cli("logs", "long", "--replica", index).stdout, "it to run")
    place.pilot.kill()
    until(lambda: not place.containers(), "no container to be left", place.containers)
    place.pilot.start()
    until(lambda: len(place.pilot.payloads()) >= 2, "what it had to run again")
    assert place.pilot.stop() == 0
    assert not place.containers(), "a pilot ends after its containers are removed"


def test_what_it_keeps_and_burns_is_seen(federator: Federator, place: Place) -> None:
    """Checkpoints of a container are carried by its pilot; processor time is measured in it, not in its runtime."""
    store = WebStore()
    work = {"replicas": 1, "requests": {"cpu": "1", "memory": "64Mi"}, "container": shell(place.image, BURNS)}
    spec = {"workload": work, "keepFree": "0%", "grace": "20s", "stops": "1s", "checkpointEvery": "300ms"}
    document = named("Backfill", "burn", {**spec, "checkpoints": {"url": f"{store.url}/kept"}})
    try:
        federator.cli("apply", "-f", "-", stdin=yaml.safe_dump(with_version(document)))
        until(lambda: bool(store.kept), "something to be kept", place.pilot.tail)
        until(lambda: cpu_seconds(place.pilot.payloads()) > 4, "it to burn", place.pilot.tail)
        assert place.pilot.stop() == 0
        if place.image == IMAGE:  # the tests' Apptainer is in a program that dies of the signal, and its time with it
            assert measured(federator) > 2.5
        place.pilot.start()
        began = re.compile(r"^began at [1-9]", re.MULTILINE)
        until(lambda: bool(began.search(federator.try_cli("logs", "backfill-burn").stdout)), "it to go on")
    finally:
        store.stop()


@pytest.mark.parametrize("place", ["podman"], indirect=True)
def test_it_is_asked_to_end_before_it_is_killed(federator: Federator, place: Place) -> None:
    """Apptainer is not asked here: as the tests have it, it is in a program that does not pass signals on."""
    script = "trap 'echo asked; exit 3' TERM; while true; do sleep 0.1; done"
    limited = batch(
        "polite", 1, [], container=shell(place.image, script), retries=0, duration="3s", enforceDuration=True
    )
    federator.submit(limited)
    failed = federator.wait_for("polite", lambda w: w["state"] == "failed")
    assert "DeadlineExceeded" in failed["message"]
    assert "asked" in federator.cli("logs", "polite").splitlines()
    until(lambda: not (place.pilot.payloads() or place.containers()), "nothing to be left", place.containers)


@pytest.mark.parametrize("place", ["podman"], indirect=True)
def test_an_image_with_a_user_and_a_program_of_its_own(federator: Federator, place: Place, tmp_path: Path) -> None:
    changes = ("USER 1000", 'ENTRYPOINT ["sh", "-c"]', 'CMD ["echo not me"]', "WORKDIR /tmp")
    import_image(tmp_path / "image.tar", "localhost/own:1", changes)
    container = {"image": "localhost/own:1", "args": ["pwd; echo mine > file; cat /work/file"]}
    federator.submit(batch("own", 1, [], container=container))
    federator.wait_for("own", lambda w: w["state"] == "finished")
    assert federator.cli("logs", "own").split() == ["/work", "mine"]


@pytest.mark.parametrize("place", ["podman"], indirect=True)
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_an_archive_runs_without_a_registry(federator: Federator, place: Place, tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "archive.tar"
    command = ["podman", "save", "--quiet", "--format", kind, "--output", str(archive), place.image]
    subprocess.run(command, check=True)
    federator.submit(batch("packed", 1, [], container=shell(f"{kind}:{archive}", "echo out of $0; echo err >&2")))
    federator.wait_for("packed", lambda w: w["state"] == "finished")
    assert sorted(federator.cli("logs", "packed").split()) == ["err", "of", "out", "sh"]
