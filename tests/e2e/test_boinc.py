"""BOINC's own client as a filler, for a project of ours: attached, at work, out of production's way, back again."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.e2e.federator_process import Federator, batch, local, until, with_version
from tests.patience import PATIENCE_S
from tests.servers.boinc import find_boinc
from tests.servers.boinc_app import STEP_S
from tests.servers.boinc_project import BoincProject

pytestmark = pytest.mark.real
FILLERS = Path(__file__).parents[2] / "config" / "fillers"
KEY = "5e884898da28047151d0e56f8dc62927"
QUIT_S, GRACE_S = 40.0, 45.0
STEPS = 30
MEASURED, WHERE = "federator_backfill_measured_cpu_seconds_total", '{cluster="here",filler="boinc"}'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[BoincProject]:
    """Its tasks wait in the middle until the test lets go."""
    one = BoincProject(KEY, STEPS, STEPS // 2, str(tmp_path / "gate"))
    yield one
    one.stop()


def document(federator: Federator, project: BoincProject) -> dict[str, Any]:
    """The Backfill that ships, for this project; what is done is kept in a folder for all."""
    key = federator.folder / "boinc.key"
    key.write_text(KEY)
    key.chmod(0o600)
    found: dict[str, Any] = yaml.safe_load((FILLERS / "boinc.yaml").read_text())
    work = found["spec"]["workload"]
    work["requests"]["memory"] = "256Mi"
    options = [f"--project={project.url}", f"--key-file={key}", f"--client={find_boinc().program}", "--every=5"]
    options += ["--checkpoint=2", f"--stop-within={QUIT_S:g}", "--memory-mib=200"]
    work["container"]["command"] = [sys.executable, str(FILLERS / "boinc.py"), *options]
    checkpoints = {"url": f"file://{federator.folder}/kept"}
    found["spec"] |= {"keepFree": "0%", "grace": f"{GRACE_S:g}s", "checkpointEvery": "2s", "checkpoints": checkpoints}
    del found["spec"]["smallestSlice"]
    return found


def apply(federator: Federator, what: dict[str, Any]) -> None:
    """By the API: a command takes seconds to begin on a busy machine, in which nothing is to be seen."""
    answer = federator.ask("PUT", "/api/v1/apply", yaml.safe_dump(what))
    assert answer.status < 300, answer


def at_work(federator: Federator) -> list[psutil.Process]:
    """The processes of the filler: ours, the client, and its tasks."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join([*(process.info["cmdline"] or ()), process.info["cwd"] or ""])
        ours = any(name in words for name in ("fillers/boinc.py", "--gui_rpc_unix_domain", "count_1.py"))
        if ours and str(federator.folder) in words:
            found.append(process)
    return found


def counting(federator: Federator) -> bool:
    """Whether a task of the project runs."""
    return any("count_1.py" in " ".join(process.info["cmdline"]) for process in at_work(federator))


def shown(federator: Federator) -> Any:
    return federator.http("/api/v1/backfills/boinc")


def metric(federator: Federator, name: str, labels: str) -> float:
    """One value; 0 where it is not there yet."""
    text = federator.http("/metrics", accept="text/plain")
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def kept(federator: Federator) -> float:
    """How many checkpoints were kept."""
    return metric(federator, "federator_checkpoints_total", '{cluster="here",outcome="kept"}')


def test_a_boinc_client_fills_gives_way_and_goes_on_where_it_was(federator: Federator, project: BoincProject) -> None:
    federator.write([local("here", 1)])
    federator.start()

    def story() -> str:
        logs = federator.try_cli("logs", "backfill-boinc").stdout
        used = metric(federator, MEASURED, WHERE)
        return f"{logs}\n{project.hosts} {list(project.reported)}\n{used} s of CPU time\n{federator.tail()}"

    apply(federator, document(federator, project))
    until(lambda: counting(federator), "a task of the project to run", story)
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("--gui_rpc_unix_domain" in line for line in lines)
    assert not any(KEY in line for line in lines)
    before = kept(federator)
    until(lambda: kept(federator) > before, "a checkpoint", story)

    began = time.monotonic()
    apply(federator, with_version(batch("work", 1, ["sh", "-c", federator.held])))
    federator.wait_for("work", lambda w: w["running"] == 1)
    until(lambda: not counting(federator), "the client to leave", story)
    assert time.monotonic() - began < QUIT_S, "it was killed, and should have quit by itself"
    until(lambda: sum(shown(federator)["evictions"].values()) == 1, "the eviction to be counted", story)

    federator.let_go()
    federator.wait_for("work", lambda w: w["state"] == "finished")
    until(lambda: "piece_1_1_0" in project.reported, "the task to be done and reported", story)
    result = project.reported["piece_1_1_0"]
    starts = [int(step) for step in re.findall(r"counts from (\d+)", result)]
    assert starts[0] == 0
    assert starts[-1] > 0, f"it began anew: {result}"
    assert f"counted to {STEPS}" in result
    assert list(project.hosts) == [1], "the project knows it again"
    assert project.hosts[1].requests > 0, "its requests are not counted, so nothing is shown"

    assert federator.ask("DELETE", "/api/v1/backfills/boinc").status < 300
    until(lambda: not at_work(federator), "all of it to end", lambda: f"{at_work(federator)}")
    until(lambda: metric(federator, MEASURED, WHERE) >= STEPS * STEP_S, "what its tasks used to be counted", story)
    until(lambda: not any(federator.folder.glob("var/local/here/*backfill*")), "its files to be removed", story)
    federator.stop()
    told = [path for path in federator.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert told == [federator.folder / "boinc.key"], "the key stays where it was given"


def test_a_wrong_key_and_a_project_that_is_away_are_said(tmp_path: Path, project: BoincProject) -> None:
    away = BoincProject(KEY, away=True)
    key = tmp_path / "key"
    key.write_text("00000000000000000000")
    common = ["--client", str(find_boinc().program), "--key-file", str(key), "--hold", "0"]
    running = []
    for name, url, patience_s in (("wrong", project.url, "60"), ("away", away.url, "5")):
        (tmp_path / name).mkdir()
        command = [sys.executable, str(FILLERS / "boinc.py"), *common, "--project", url, "--patience", patience_s]
        running.append(subprocess.Popen(command, cwd=tmp_path / name, stdout=subprocess.PIPE, text=True))
    wrong, nobody = (process.communicate(timeout=PATIENCE_S)[0].splitlines()[-1] for process in running)
    away.stop()
    assert [process.returncode for process in running] == [77, 69]
    assert wrong.startswith(f"{project.url} refuses the account key: [Counting] Invalid or missing account key.")
    assert nobody.startswith(f"{away.url} did not answer as a BOINC project for 5 s")
