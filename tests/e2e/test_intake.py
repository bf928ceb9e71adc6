"""A real schedd as a way in: its users hand in jobs as ever, and the federator runs them on its clusters."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.federator_process import Federator, local, until
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool
from tests.servers.processes import free_port, remove_directory, temporary_directory

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class Intake:
    """``federator intake`` as a process."""

    def __init__(self, federator: Federator, port: int, pool: Pool, log: Path) -> None:
        schedd = ["--collector", pool.collector, "--schedd", pool.name, "--condor-token", str(pool.token_file)]
        server = ["--server", f"http://127.0.0.1:{port}", "--token-file", str(federator.folder / "var" / "admin.token")]
        self._command = [sys.executable, "-m", "federator", "intake", *schedd, *server, "--every", "500ms"]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        return self.log.read_text()[-3000:]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may write to."""
    made = temporary_directory("jobs")
    made.chmod(0o777)
    yield made
    remove_directory(made)


@pytest.fixture
def intake(federator: Federator, htcondor_pool: Pool, folder: Path) -> Iterator[Intake]:
    """A daemon with one cluster of eight cores, and the intake. It empties the queue in the end."""
    port = free_port()
    federator.write([local("here", 8)], listen={"port": port})
    federator.start()
    one = Intake(federator, port, htcondor_pool, folder / "intake.log")
    one.start()
    yield one
    htcondor_pool.remove("true")
    until(lambda: not queued(htcondor_pool, "ClusterId"), "the queue to be empty", one.tail)
    one.kill()


def submit(pool: Pool, folder: Path, script: str, count: int = 1, *words: str, **more: str) -> int:
    """Hand jobs in as a user of the schedd does; the number of their cluster. ``$(Process)`` is its own of each."""
    told = {
        "executable": "/bin/sh", "transfer_executable": "false", "arguments": f'"-c \'{script}\'"', "request_cpus": "1",
        "request_memory": "32", "environment": '"GREETING=\'good morning\' PART=$(Process)"', "+WantFederator": "true",
        "requirements": "false", **more,
    }  # fmt: skip
    path = folder / "jobs.sub"
    path.write_text("\n".join(f"{key} = {value}" for key, value in told.items()) + f"\nqueue {count}\n")
    path.chmod(0o644)
    return int(pool.run("condor_submit", "-terse", *words, str(path)).split(".")[0])


def queued(pool: Pool, *attributes: str) -> list[list[str]]:
    return [line.split() for line in pool.run("condor_q", "-allusers", "-af", *attributes).splitlines()]


def ended(pool: Pool, cluster: int) -> Counter[tuple[str, str]]:
    """(JobStatus, ExitCode) of the jobs of a cluster that have left the queue."""
    lines = pool.run("condor_history", str(cluster), "-af", "JobStatus", "ExitCode").splitlines()
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def test_jobs_of_a_schedd_run_here_and_end_there_with_their_exit_status(
    federator: Federator, htcondor_pool: Pool, folder: Path, intake: Intake
) -> None:
    """The intake is killed and the daemon too, while they run: each job runs once."""
    wait = f"until [ -e {folder}/gate ]; do sleep 0.2; done"
    jobs = submit(htcondor_pool, folder, f"echo $GREETING $PART >> {folder}/ran; {wait}; exit $PART", 3)
    until(lambda: [q[0] for q in queued(htcondor_pool, "JobStatus")] == ["2"] * 3, "the jobs to run", intake.tail)
    assert {q[0] for q in queued(htcondor_pool, "RemoteHost")} == {"here"}
    names = {q[0] for q in queued(htcondor_pool, "FederatorWorkload")}
    assert names == {one["name"] for one in federator.items("workloads")}
    intake.kill()
    federator.kill()
    (folder / "gate").touch()
    intake.start()
    federator.start()
    until(lambda: ended(htcondor_pool, jobs).total() == 3, "the jobs to leave the queue", intake.tail)
    assert ended(htcondor_pool, jobs) == Counter({("4", "0"): 1, ("4", "1"): 1, ("4", "2"): 1})
    assert sorted((folder / "ran").read_text().splitlines()) == [f"good morning {part}" for part in range(3)]


def test_what_jobs_write_comes_back_to_their_owners_files(
    federator: Federator, htcondor_pool: Pool, folder: Path, intake: Intake
) -> None:
    """Of a job that was handed in beside the schedd it is there; of one from afar its owner fetches it, as ever."""
    both = {"output": "$(Process).out", "error": "$(Process).err", "initialdir": str(folder)}
    here = submit(htcondor_pool, folder, "echo out $PART; echo err >&2; exit $PART", 2, **both)
    afar = submit(htcondor_pool, folder, "echo from afar", 1, "-spool", output="afar.out", initialdir=str(folder))
    until(lambda: ended(htcondor_pool, here).total() == 2, "the jobs to leave the queue", intake.tail)
    written = [folder / f"{part}.out" for part in (0, 1)]
    assert [path.read_text() for path in written] == ["out 0\nerr\n", "out 1\nerr\n"]
    assert {path.owner() for path in folder.glob("?.*")} == {htcondor_pool.owner}
    assert [(folder / f"{part}.err").read_text() for part in (0, 1)] == ["", ""]

    def finished() -> bool:
        return [str(afar), "4"] in queued(htcondor_pool, "ClusterId", "JobStatus")

    until(finished, "the job from afar to be completed", intake.tail)
    assert not (folder / "afar.out").exists()
    htcondor_pool.run("condor_transfer_data", str(afar))
    assert (folder / "afar.out").read_text() == "from afar\n"
    until(lambda: ended(htcondor_pool, afar).total() == 1, "it to leave the queue then", intake.tail)


def test_what_users_do_to_their_jobs_is_done_here(
    federator: Federator, htcondor_pool: Pool, folder: Path, intake: Intake
) -> None:
    """Removed: cancelled. Held: stopped, and run again when it is released. Cancelled here: removed there."""
    first = submit(htcondor_pool, folder, "sleep 600")
    second = submit(htcondor_pool, folder, f"echo x >> {folder}/again; sleep 600")
    third = submit(htcondor_pool, folder, "sleep 600")
    until(lambda: [q[0] for q in queued(htcondor_pool, "JobStatus")] == ["2"] * 3, "the jobs to run", intake.tail)
    of = {int(q[0]): q[1] for q in queued(htcondor_pool, "ClusterId", "FederatorWorkload")}
    htcondor_pool.run("condor_rm", str(first))
    until(lambda: ended(htcondor_pool, first).total() == 1, "the removed job to leave the queue", intake.tail)
    federator.wait_for(of[first], lambda w: w["state"] == "cancelled")
    htcondor_pool.run("condor_hold", str(second))
    until(
        lambda: of[second] not in {w["name"] for w in federator.items("workloads")}, "the held one to go", intake.tail
    )
    htcondor_pool.run("condor_release", str(second))
    federator.wait_for(of[second], lambda w: w["running"] == 1)
    until(lambda: (folder / "again").read_text() == "x\nx\n", "it to run a second time", intake.tail)
    federator.cli("cancel", of[third])
    until(lambda: ended(htcondor_pool, third) == Counter({("3", "undefined"): 1}), "it to be removed", intake.tail)


def test_jobs_that_cannot_run_elsewhere_or_are_not_asked_for_stay_with_their_schedd(
    federator: Federator, htcondor_pool: Pool, folder: Path, intake: Intake
) -> None:
    fits = submit(htcondor_pool, folder, "sleep 600", request_cpus="64")
    files = submit(htcondor_pool, folder, "sleep 600", transfer_input_files="/etc/hosts", should_transfer_files="yes")
    brings = submit(htcondor_pool, folder, "sleep 600", transfer_output_files="out.root", should_transfer_files="yes")
    closed = submit(htcondor_pool, folder, "sleep 600", output="/root/job.out")
    queue = submit(htcondor_pool, folder, "sleep 600", 1, **{"+FederatorQueue": '"not a queue"'})
    other = submit(htcondor_pool, folder, "sleep 600", 1, **{"+WantFederator": "false"})

    def told() -> bool:
        reasons = {int(q[0]): " ".join(q[1:]) for q in queued(htcondor_pool, "ClusterId", "FederatorReason")}
        words = {
            fits: "cpu", files: "input files", brings: "output files", closed: "belongs into /root, where nobody",
            queue: "not a queue", other: "undefined",
        }  # fmt: skip
        return all(word in reasons[job] for job, word in words.items())

    until(told, "each to say why", lambda: str(queued(htcondor_pool, "ClusterId", "FederatorReason")) + intake.tail())
    managed = {int(q[0]): q[1] for q in queued(htcondor_pool, "ClusterId", "Managed")}
    assert managed == {job: "External" if job == fits else "undefined" for job in managed}
    assert len(federator.items("workloads")) == 1
