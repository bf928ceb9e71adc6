"""Tasks that a batch system takes away, for work by another door, go on from what was kept: their sums stay exact."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.federator_process import Federator, named, until, with_version
from tests.e2e.test_checkpoints import Place, outcomes
from tests.servers.fixtures import htcondor_pool, slurm, slurm_by_quality
from tests.servers.htcondor import Pool
from tests.servers.processes import remove_directory, temporary_directory
from tests.servers.s3 import bucket
from tests.servers.site_python import python_with_numpy
from tests.servers.slurm import CPUS, Slurm
from tests.web_store import WebStore

__all__ = ["htcondor_pool", "slurm", "slurm_by_quality"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
DETECTOR = Path(__file__).parents[2] / "config/fillers/detector.py"
TRACKS = 12_000_000
"""Long enough for three evictions on a fast machine: schedulers take their time."""
"""Some seconds of a core."""
EVICTIONS = 3


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for whoever jobs run as."""
    folder = temporary_directory("site")
    folder.chmod(0o777)
    shutil.copy(DETECTOR, folder / "detector.py")
    yield folder
    remove_directory(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return in_one_go(tmp_path_factory.mktemp("undisturbed"))


def in_one_go(store: Path) -> Any:
    """The sums of task 0."""
    words = ["--store", str(store), "--tracks", str(TRACKS)]
    subprocess.run([sys.executable, str(DETECTOR), *words], check=True, timeout=250)
    return json.loads((store / "task-0.json").read_text())


@pytest.mark.parametrize(
    ("server", "fillers", "of_fillers"),
    [
        ("slurm", {"backfillPartition": "again"}, "-p"),
        ("slurm_by_quality", {"backfillQos": "again"}, "-q"),
    ],
)
def test_slurm_takes_a_task_away_and_starts_it_again_and_its_sums_are_exact(
    federator: Federator,
    server: str,
    fillers: dict[str, str],
    of_fillers: str,
    shared: Path,
    web: WebStore,
    undisturbed: Any,
    request: pytest.FixtureRequest,
) -> None:
    """Where it would put jobs that make room back into its queue; and the store is full for a while."""
    slurm: Slurm = request.getfixturevalue(server)
    block = {"url": slurm.url, "directory": str(shared), "mountedAt": str(shared), **fillers}
    block |= {"partitions": ["cpu", "gpu"], "timeout": "10s", "poll": "500ms"}
    federator.write([named("Cluster", "site", {"provider": "slurm", "slurm": block})], federation="e2e-keep")

    def evict() -> None:
        if not (nodes := slurm.run("squeue", "-h", "-t", "RUNNING", of_fillers, "again", "-o", "%N").split()):
            return  # it has just ended
        words = ["sbatch", "-p", "cpu,gpu", "-w", nodes[0], "-c", str(CPUS), "-o", "/dev/null", "-D", str(shared)]
        subprocess.run([*slurm.command, *words, "--wrap", "sleep 1"], capture_output=True, check=True, timeout=60)

    def full() -> bool:
        words = "a checkpoint was not kept: the store answers 507 Insufficient Storage"
        web.trouble = 507
        until(lambda: any(words in log.read_text() for log in shared.glob("*/logs/0")), words, federator.tail)
        web.trouble = 0
        return True

    try:
        whole_story(federator, shared, Place(web, None, shared), undisturbed, evict, full)
    finally:
        slurm.clear()


def test_htcondor_evicts_a_task_and_its_sums_are_exact(
    federator: Federator, htcondor_pool: Pool, shared: Path, tmp_path: Path, undisturbed: Any
) -> None:
    """With a bucket, whose signed addresses go with the job."""
    pool = htcondor_pool
    block = {"collector": pool.collector, "schedd": pool.name, "tokenFile": str(pool.token_file), "submit": "jobs"}
    document = named("Cluster", "site", {"provider": "htcondor", "htcondor": {**block, "poll": "500ms"}})

    def evict() -> None:
        pool.submit("sleep 1", pool.cpus, {"My.Theirs": "true"})

    with bucket() as one:
        place = Place(None, one, tmp_path)
        federator.write([document], federation="e2e-keep", **place.settings)
        try:
            whole_story(federator, shared, place, undisturbed, evict)
        finally:
            pool.remove('Theirs =?= true || FederatorName == "e2e-keep/site"')


def whole_story(
    federator: Federator,
    shared: Path,
    place: Place,
    right: Any,
    evict: Callable[[], None],
    meanwhile: Callable[[], bool] = lambda: False,
    image: str = "",
    told: str = "Preempted",
) -> None:
    """One task, which is taken away whenever it has kept something new. ``told``: how its history names that.
    ``meanwhile`` says whether it lets the store fail."""

    def story() -> str:
        return "\n".join(
            federator.try_cli(*words).stdout for words in (("explain", "backfill-muons"), ("logs", "backfill-muons"))
        )

    federator.start()
    python, env = python_with_numpy(shared)
    words = [python, str(shared / "detector.py"), "--results", str(shared), "--tracks", str(TRACKS)]
    federator.cli(
        "apply", "-f", "-", stdin=yaml.safe_dump(with_version(bag([*words, "--every", "0.2"], env, place.url, image)))
    )
    done = (shared / "task-0.json").exists
    troubled = False
    for number in range(EVICTIONS):
        before = newest(place.names())
        until(lambda: newest(place.names()) > before or done(), f"attempt {number + 1} to keep something", story)  # noqa: B023
        if done():
            break  # a machine so fast
        if number == 1:
            troubled = meanwhile()
        evict()
    until(done, "the task to be done", story)
    assert json.loads((shared / "task-0.json").read_text()) == right
    until(lambda: federator.http("/api/v1/backfills/muons")["finished"] == 1, "that to be known", federator.tail)
    until(lambda: not place.names(), "what was kept to be dropped", lambda: f"{place.names()}")
    history = federator.http("/api/v1/workloads/backfill-muons/history")["items"]
    taken = [entry["message"] for entry in history if told in entry["message"]]
    assert len(taken) >= 2, f"it was not taken away, so this test shows little: {history}"
    assert "federator: goes on from a checkpoint" in federator.cli("logs", "backfill-muons"), history

    def counted(outcome: str) -> int:
        return sum(count for (_, what), count in outcomes(federator).items() if what == outcome)

    until(lambda: counted("resumed") >= 2, "what became of checkpoints to be counted", lambda: f"{outcomes(federator)}")
    assert counted("resumed") <= len(taken), "an attempt goes on once"
    assert len(taken) <= counted("kept") + counted("failed"), outcomes(federator)
    assert bool(counted("failed") + counted("damaged")) == troubled, outcomes(federator)
    assert ("the store answers 50" in federator.log.read_text()) == troubled


def newest(names: Sequence[str]) -> int:
    """The latest attempt that has kept anything: the last number but one of a name. -1: none has."""
    return max((int(name.rsplit("-", 2)[1]) for name in names), default=-1)


def bag(command: list[str], env: Mapping[str, str], url: str, image: str = "") -> dict[str, Any]:
    work = {
        "replicas": 1,
        "requests": {"cpu": "1", "memory": "300Mi"},
        "container": {"image": image, "command": command, "env": dict(env)},
    }
    spec = {"workload": work, "keepFree": "0%", "grace": "10s", "stops": "2s", "checkpointEvery": "500ms"}
    return named("Backfill", "muons", {**spec, "checkpoints": {"url": url}})
