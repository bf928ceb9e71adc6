"""Tasks that are stopped and killed by turns go on elsewhere from what was kept, and their results stay exact."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.counter import term
from tests.e2e.federator_process import Federator, batch, local, named, until, with_version
from tests.e2e.pilot_process import PilotProcess, grid, pilot_token, url_of
from tests.servers.s3 import Bucket, bucket
from tests.web_store import WebStore

pytestmark = pytest.mark.real
COUNTER = Path(__file__).with_name("counter.py")
TASKS, STEPS = 3, 200
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"


class Place:
    """A web server with faults on order, which may want a token; or, if it is a bucket, one without."""

    def __init__(self, web: WebStore | None, bucket: Bucket | None, folder: Path, token: str = "") -> None:
        self.web, self.bucket = web, bucket
        self.url = f"{web.url}/kept" if web else "s3://bucket/kept/here"
        self.settings: dict[str, Any] = {}
        if bucket is not None:
            (folder / "secret").write_text(SECRET)
            store = {"url": "s3://bucket/kept", "endpoint": bucket.endpoint, "accessKey": "KEY"}
            self.settings["checkpointStores"] = [{**store, "secretFile": str(folder / "secret")}]
        elif web is not None and token:
            (folder / "secret").write_text(token)
            web.wants = f"Bearer {token}"
            self.settings["checkpointStores"] = [{"url": self.url, "secretFile": str(folder / "secret")}]

    def names(self) -> list[str]:
        """What is in it."""
        return sorted(self.web.kept if self.web else self.bucket.keys() if self.bucket else ())

    def tasks(self) -> set[str]:
        """Those of which it has something: names end with task, attempt and slot."""
        return {name.rsplit("-", 3)[1] for name in self.names()}


@pytest.fixture(params=["http", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "s3":
        with bucket() as one:
            yield Place(None, one, tmp_path)
        return
    web = WebStore()
    yield Place(web, None, tmp_path, SECRET)
    web.stop()


def bag(folder: Path, url: str) -> str:
    command = [sys.executable, str(COUNTER), str(folder), str(STEPS)]
    work = {
        "replicas": TASKS,
        "requests": {"cpu": "1", "memory": "64Mi"},
        "container": {"image": "example.org/count:1", "command": command},
    }
    spec = {"workload": work, "keepFree": "0%", "grace": "20s", "stops": "5s", "checkpointEvery": "300ms"}
    return yaml.safe_dump(with_version(named("Backfill", "count", {**spec, "checkpoints": {"url": url}})))


def starts(folder: Path) -> list[tuple[int, str, int]]:
    """(task, cluster, step) of all that ever began."""
    lines = (folder / "starts").read_text().splitlines() if (folder / "starts").exists() else []
    return [(int(index), cluster, int(step)) for index, cluster, step in map(str.split, lines)]


def outcomes(federator: Federator) -> dict[tuple[str, str], int]:
    """``federator_checkpoints_total`` by cluster and outcome."""
    text = federator.http("/metrics", accept="text/plain")
    line = r'^federator_checkpoints_total\{cluster="(\w+)",outcome="(\w+)"\} (\S+)$'
    return {(c, o): int(float(value)) for c, o, value in re.findall(line, text, re.MULTILINE)}


def resumed(folder: Path, cluster: str, after: int) -> bool:
    """Whether every task, or as many as there are cores, began on a cluster with something kept, after so many."""
    return sum(where == cluster and step > 0 for _, where, step in starts(folder)[after:]) >= 2


def test_tasks_go_on_from_machine_to_pilot_and_back_and_their_results_are_exact(
    federator: Federator, place: Place, tmp_path: Path
) -> None:
    federator.write([local("here", 2, site="here"), grid()], **place.settings)
    federator.start()
    pilot = PilotProcess(tmp_path, "one", url_of(federator), pilot_token(federator), cpu=3)
    story = lambda: f"{starts(tmp_path)}\n{outcomes(federator)}\n{pilot.tail()}\n{federator.tail()}"  # noqa: E731
    try:
        federator.cli("apply", "-f", "-", stdin=bag(tmp_path, place.url))
        until(lambda: len(place.tasks()) == 2, "something of both that run to be kept", story)
        until(lambda: outcomes(federator).get(("here", "kept"), 0) >= 4, "checkpoints of this machine", story)

        pilot.start()
        seen = len(starts(tmp_path))
        federator.cli("drain", "here")
        until(lambda: resumed(tmp_path, "grid", seen), "the pilot to go on", story)
        until(lambda: len(place.tasks()) == TASKS, "something of all that run to be kept", story)
        until(lambda: outcomes(federator).get(("grid", "kept"), 0) >= 4, "checkpoints of the pilot", story)

        pilot.kill()
        seen = len(starts(tmp_path))
        federator.cli("undrain", "here")
        until(lambda: resumed(tmp_path, "here", seen), "this machine to go on", story)

        seen = len(starts(tmp_path))
        hold = ["sh", "-c", federator.held]
        federator.submit(batch("work", 2, hold, clusters={"selector": {"matchLabels": {"site": "here"}}}))
        federator.wait_for("work", lambda work: work["running"] == 2)
        federator.let_go()
        until(lambda: resumed(tmp_path, "here", seen), "what gave way to go on", story)

        if place.web is not None:
            place.web.trouble = 507
            until(lambda: outcomes(federator).get(("here", "failed"), 0) >= 2, "a full store to be told", story)
            place.web.trouble = 0
        assert place.names(), "nothing was kept, so this test shows nothing"
        pilot.start()
        (tmp_path / "finish").touch()
        until(lambda: federator.http("/api/v1/backfills/count")["finished"] == TASKS, "all tasks", story)
        until(lambda: not place.names(), "what was kept of them to be dropped", lambda: f"{place.names()}")
    finally:
        pilot.clean_up()
    for index in range(TASKS):
        right = sum(term(index, step) for step in range(STEPS))
        assert json.loads((tmp_path / f"result-{index}").read_text()) == right
    if place.bucket is not None:
        assert not holding(tmp_path / "var", SECRET), "the secret of the bucket is in a file of the daemon's"
    assert SECRET not in federator.log.read_text()


def holding(folder: Path, words: str) -> list[Path]:
    """The files of a folder that hold these words."""
    return [path for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]
