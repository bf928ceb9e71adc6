"""Jobs of HTCondor as documents."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.documents import workload_spec
from federator.intake.ads import Job, Unfit, job_of, plain, words, workload

JOB: dict[str, Any] = {
    "ClusterId": 12, "ProcId": 3, "QDate": 1790000000, "Owner": "Alice.B", "JobStatus": 1, "JobUniverse": 5,
    "Cmd": "/bin/sh", "TransferExecutable": False, "Arguments": "-c 'echo ''a b'''", "RequestCpus": 2,
    "RequestMemory": 512,
}  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    return workload(job_of({**JOB, **more}, "ce01"), "ce01", "grid")


def test_a_job_becomes_a_workload_that_the_federator_reads() -> None:
    made = document(Environment="A=1 'B=x y'", JobPrio=5, JobMaxRetries=2, AllowedExecuteDuration=3600, RequestGPUs=1,
                    RequestDisk=1024, FederatorLabels="experiment=atlas, kind=mc", FederatorQueue="atlas")  # fmt: skip
    spec = workload_spec(made).workload
    assert made["metadata"]["name"] == "ce01-12-3-1790000000"
    assert made["spec"]["container"] == {"command": ["/bin/sh", "-c", "echo 'a b'"], "env": {"A": "1", "B": "x y"}}
    assert dict(spec.roles[0].requests.items_) == {
        "cpu": 2000, "memory": 512 << 20, "nvidia.com/gpu": 1, "ephemeral-storage": 1 << 20,
    }  # fmt: skip
    assert (spec.queue, spec.priority, spec.duration_s) == ("atlas", 5, 3600.0)
    assert dict(spec.labels) == {
        "experiment": "atlas", "kind": "mc", "federator.dev/intake": "ce01", "federator.dev/owner": "alice-b",
    }  # fmt: skip
    assert made["spec"]["retries"] == 2


def test_what_a_job_does_not_say() -> None:
    made = document(Arguments="")
    assert (made["spec"]["queue"], made["spec"]["retries"]) == ("grid", 0)
    assert "duration" not in made["spec"]
    assert "ephemeral-storage" not in made["spec"]["requests"]


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ({"ContainerImage": "docker://busybox"}, "docker://busybox"),
        ({"ContainerImage": "/cvmfs/atlas/el9"}, "/cvmfs/atlas/el9"),
        ({"DockerImage": "busybox:1.36"}, "docker://busybox:1.36"),
    ],
)
def test_images_are_named_as_everywhere(given: dict[str, str], image: str) -> None:
    assert document(**given)["spec"]["container"]["image"] == image


def test_the_old_syntax_of_arguments_and_environment_is_read() -> None:
    old = {name: value for name, value in JOB.items() if name != "Arguments"}
    made = workload(Job({**old, "Args": "a  b", "Env": "X=1;Y=2"}, "w"), "ce01", "grid")
    assert made["spec"]["container"] == {"command": ["/bin/sh", "a", "b"], "env": {"X": "1", "Y": "2"}}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"JobUniverse": 7}, "universes"),
        ({"TransferInput": "data.root"}, "input files"),
        ({"TransferOutput": "hist.root"}, "output files"),
        ({"In": "numbers.txt"}, "standard input"),
        ({"TransferExecutable": True}, "transfer_executable"),
        ({"FederatorLabels": "atlas"}, "key=value"),
    ],
)
def test_what_only_its_schedd_can_run_is_refused_with_the_reason(given: dict[str, Any], word: str) -> None:
    with pytest.raises(Unfit, match=word):
        document(**given)


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ({}, []),
        ({"Out": "/dev/null", "Err": ""}, []),
        ({"Out": "job.out", "Err": "job.out"}, ["/home/alice/job.out"]),
        ({"Out": "/data/job.out", "Err": "logs/job.err"}, ["/data/job.out", "/home/alice/logs/job.err"]),
        ({"Out": "/dev/null", "Err": "job.err"}, ["/home/alice/job.err"]),
    ],
)
def test_where_what_it_writes_belongs(given: dict[str, str], files: list[str]) -> None:
    job = job_of({**JOB, "Iwd": "/home/alice", **given}, "ce01")
    assert list(map(str, job.outputs)) == files
    assert (job.owner, job_of({**JOB, "OsUser": "alice"}, "ce01").owner) == ("Alice.B", "alice")


@given(st.lists(st.text("ab '\"$\\\t", min_size=1), max_size=4))
def test_arguments_come_back_as_they_were_written(given: list[str]) -> None:
    """Written as condor_submit(1) says: in single quotes, a quote doubled."""
    written = " ".join("'" + word.replace("'", "''") + "'" for word in given)
    assert words(written) == given


def test_words_without_quotes_are_parted_as_by_a_shell() -> None:
    text = "-c --all=yes  x"
    assert words(text) == shlex.split(text)


@pytest.mark.parametrize(("name", "made"), [("CE01@head.example.org", "ce01"), ("my_ce.2", "my-ce-2"), ("@", "")])
def test_names_are_made_plain(name: str, made: str) -> None:
    assert plain(name) == made
