"""The batch script, run by a real bash as a task of an array would be."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from federator.clusters.slurm.script import NO_FOLDER, NOT_OURS, OVER_TIME, script
from federator.model.intent import Container

OWN = {"FEDERATOR_INTENT": "c-1", "FEDERATOR_WORKLOAD": "w"}


def run(
    folder: Path, command: Container, *, job: str = "7", task: int = 3, base: int = 0, limit_s: float | None = None
) -> tuple[int, str]:
    """One task; returns its exit status and what it wrote to its log."""
    intent = str(folder / "c-1")
    text = script(intent, base, command, OWN, apptainer=False, gpus=False, limit_s=limit_s, grace_s=0.5)
    env = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(task)}
    done = subprocess.run(["bash", "-c", text], env=env, capture_output=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    log = folder / "c-1" / "logs" / str(base + task)
    return done.returncode, log.read_text() if log.exists() else ""


def shell(text: str, **env: str) -> Container:
    return Container(command=("sh", "-c"), args=(text,), env=env)


def test_nothing_of_a_user_is_taken_for_shell(tmp_path: Path) -> None:
    words = ("'", '"', "$HOME", "`id`", "$(id)", "a b", "", "\\", "line\nbreak", "*", "~", "!", "-n")
    command = Container(command=("printf", "<%s>\n"), args=words, env={"X": "'; touch /nowhere; '", "odd.name": "o"})
    code, log = run(tmp_path, command)
    assert code == 0
    assert log == "".join(f"<{word}>\n" for word in words)


def test_a_replica_has_its_variables_and_its_index(tmp_path: Path) -> None:
    env = {"MINE": "it's", "odd.name": "1", "FEDERATOR_REPLICA_INDEX": "99", "FEDERATOR_INTENT": "another"}
    code, log = run(tmp_path, Container(command=("env",), env=env), base=1000, task=5)
    assert code == 0
    told = dict(line.split("=", 1) for line in log.splitlines())
    assert (told["MINE"], told["odd.name"]) == ("it's", "1")
    assert (told["FEDERATOR_REPLICA_INDEX"], told["FEDERATOR_INTENT"]) == ("1005", "c-1"), "ours are ours"
    assert run(tmp_path, Container(command=("pwd",)))[1] == f"{tmp_path}/c-1/work/3\n"


def test_references_in_commands_are_as_in_kubernetes(tmp_path: Path) -> None:
    command = Container(command=("echo", "$(A)-$(FEDERATOR_REPLICA_INDEX)", "$$(A)", "$(B)", "$A"), env={"A": "x y"})
    assert run(tmp_path, command) == (0, "x y-3 $(A) $(B) $A\n")


def test_an_image_is_run_by_apptainer_with_the_same_words_and_variables(tmp_path: Path) -> None:
    """Apptainer itself is a stand-in that tells how it was called."""
    stand_in = tmp_path / "apptainer"
    stand_in.write_text('#!/bin/sh\nprintf "<%s>" "$@"; echo; env | grep ^APPTAINER\n')
    stand_in.chmod(0o755)
    command = Container("example.org/a:1", ("sh", "-c"), ("echo 'a  b'; $(X)",), {"X": "it's, so"}, "some/where")
    text = script(str(tmp_path / "c-1"), 0, command, OWN, apptainer=True, gpus=True, limit_s=None, grace_s=1.0)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    assert subprocess.run(["bash", "-c", text], env=env, check=False).returncode == 0
    call, *variables = (tmp_path / "c-1" / "logs" / "3").read_text().splitlines()
    assert call.startswith("<--quiet><exec><--containall><--no-privs><--bind>")
    assert "<--nv><--pwd></work/some/where><docker://example.org/a:1>" in call
    assert call.endswith("<sh><-c><echo 'a  b'; it's, so>")
    assert (tmp_path / "c-1" / "work" / "3" / "some/where").is_dir()
    assert {"APPTAINER_NO_EVAL=1", "APPTAINERENV_X=it's, so", "APPTAINERENV_FEDERATOR_REPLICA_INDEX=3"} <= set(
        variables
    )


def test_its_exit_status_is_the_replicas_and_is_written_down(tmp_path: Path) -> None:
    assert run(tmp_path, shell("exit 5"))[0] == 5
    code, began, ended = (tmp_path / "c-1" / "ends" / "3").read_text().split()
    assert code == "5"
    assert time.time() - 60 < int(began) <= int(ended)
    assert run(tmp_path, shell("kill -9 $$$$"), task=4)[0] == 137


def test_two_jobs_for_one_replica_run_it_once(tmp_path: Path) -> None:
    """An answer of Slurm was lost and the job was sent again; the first that starts has it."""
    command = shell("echo ran")
    assert run(tmp_path, command, job="7") == (0, "ran\n")
    code, log = run(tmp_path, command, job="8")
    assert code == NOT_OURS
    assert log.count("ran\n") == 1


def test_a_task_that_slurm_starts_again_after_its_end_does_not_run_again(tmp_path: Path) -> None:
    command = shell("echo ran; exit 3")
    assert run(tmp_path, command)[0] == 3
    assert run(tmp_path, command) == (3, "ran\n")


def test_a_replica_over_its_time_limit_gets_sigterm_and_then_sigkill(tmp_path: Path) -> None:
    began = time.monotonic()
    code, log = run(tmp_path, shell("trap 'echo told' TERM; while :; do sleep 0.1; done"), limit_s=0.5)
    assert code == OVER_TIME
    assert "told\n" in log
    assert 0.9 < time.monotonic() - began < 20


def test_what_a_replica_leaves_behind_is_killed(tmp_path: Path) -> None:
    assert run(tmp_path, shell("sleep 1000 & echo $!"))[0] == 0
    pid = (tmp_path / "c-1" / "logs" / "3").read_text().strip()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("it lives")


def test_a_folder_that_cannot_be_written_ends_the_task(tmp_path: Path) -> None:
    (tmp_path / "c-1").write_text("a file")
    text = script(str(tmp_path / "c-1"), 0, shell("true"), OWN, apptainer=False, gpus=False, limit_s=None, grace_s=1.0)
    env = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    assert subprocess.run(["bash", "-c", text], env=env, capture_output=True, check=False).returncode == NO_FOLDER
