"""The same container as a process, under Apptainer and under Podman."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federator.pilot.command import CannotRun, command_for

WORK, SPOOL = Path("/spool/lease/work"), Path("/spool")
OUTSIDE = {"PATH": "/opt/bin", "APPTAINER_CACHEDIR": "/cache", "SECRET": "s"}


def grant(**more: Any) -> dict[str, Any]:
    return {
        "lease": "w.0.ab", "intent": "w", "workload": "reco", "index": 3, "runtime": "container",
        "image": "registry.example.org/reco:1", "command": ["run", "$(FEDERATOR_REPLICA_INDEX)"], "args": ["$(NAME)"],
        "env": {"NAME": "a,b", "FEDERATOR_REPLICA_INDEX": "99"}, "workingDir": "", "requests": {}, **more,
    }  # fmt: skip


def test_a_process_gets_the_command_its_environment_and_its_own_index() -> None:
    made = command_for(grant(runtime="process", workingDir="sub"), ("process",), WORK, SPOOL, (), OUTSIDE)
    assert made.argv == ("run", "3", "a,b")
    assert made.cwd == "/spool/lease/work/sub"
    assert made.env["FEDERATOR_REPLICA_INDEX"] == "3", "no user's variable stands in the place of ours"
    assert made.env["CUDA_VISIBLE_DEVICES"] == "", "without GPUs asked for none is seen"
    assert not made.new_privileges


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("registry.example.org/reco:1", "docker://registry.example.org/reco:1"),
        ("docker://busybox", "docker://busybox"),
        ("docker-archive:/images/a.tar", "docker-archive:/images/a.tar"),
        ("oci-archive:/images/a.tar", "oci-archive:/images/a.tar"),
        ("/cvmfs/unpacked.example.org/reco:1", "/cvmfs/unpacked.example.org/reco:1"),
        ("host:5000/reco", "docker://host:5000/reco"),
    ],
)
def test_apptainer_takes_images_wherever_they_are(image: str, source: str) -> None:
    made = command_for(grant(image=image), ("process", "apptainer"), WORK, SPOOL, ("0",), OUTSIDE)
    assert made.argv[:3] == ("apptainer", "--quiet", "exec")
    assert made.argv[-4:] == (source, "run", "3", "a,b")
    assert {"--containall", "--no-privs", "--nv"} <= set(made.argv)
    assert made.env["APPTAINERENV_NAME"] == "a,b"
    assert made.env["APPTAINER_NO_EVAL"] == "1", "what looks like a command of a shell in a value is none"
    assert made.env["APPTAINER_CACHEDIR"] == "/cache"
    assert "SECRET" not in made.env


def test_podman_gives_no_new_privileges_and_overrides_the_entry_point() -> None:
    made = command_for(grant(), ("process", "podman"), WORK, SPOOL, (), OUTSIDE)
    words = " ".join(made.argv)
    assert "--security-opt no-new-privileges" in words
    assert '--entrypoint ["run", "3"] docker://registry.example.org/reco:1 a,b' in words
    assert "--env NAME=a,b" in words
    assert "--user 0:0" in words, "the pilot's own user, who alone can write its folders"
    assert "--network host" in words
    assert "--pidfile /spool/lease/container.pid" in words
    assert made.container == "federator-w.0.ab"


@pytest.mark.parametrize(
    ("given", "directory"),
    [("", "/work"), ("sub/dir", "/work/sub/dir"), ("/opt/app", "/opt/app"), ("/", "/")],
)
def test_a_relative_folder_is_below_its_own_in_containers_too(given: str, directory: str) -> None:
    for runtime, option in (("apptainer", "--pwd"), ("podman", "--workdir")):
        made = command_for(grant(workingDir=given), (runtime,), WORK, SPOOL, (), OUTSIDE)
        assert made.argv[made.argv.index(option) + 1] == directory


def test_without_a_command_the_image_says_what_runs() -> None:
    assert "run" in command_for(grant(command=[]), ("apptainer",), WORK, SPOOL, (), OUTSIDE).argv[:3]
    assert "--entrypoint" not in command_for(grant(command=[]), ("podman",), WORK, SPOOL, (), OUTSIDE).argv


def test_what_cannot_run_here_is_told() -> None:
    with pytest.raises(CannotRun, match="has: process"):
        command_for(grant(), ("process",), WORK, SPOOL, (), OUTSIDE)
    with pytest.raises(CannotRun):
        command_for(grant(image="/cvmfs/tree"), ("podman",), WORK, SPOOL, (), OUTSIDE)


def test_what_is_kept_has_a_folder_of_its_own_inside_and_outside_of_containers() -> None:
    kept = SPOOL / "l1" / "checkpoint"
    as_process = command_for(grant(runtime="process"), ("process",), WORK, SPOOL, (), OUTSIDE, kept)
    assert as_process.env["FEDERATOR_CHECKPOINT_DIR"] == str(kept)
    for runtime, option in (("apptainer", "--bind"), ("podman", "--volume")):
        made = command_for(grant(runtime="container"), (runtime,), WORK, SPOOL, (), OUTSIDE, kept)
        assert f"{kept}:/checkpoint" in made.argv
        assert made.argv[made.argv.index(f"{kept}:/checkpoint") - 1] == option
        assert "/checkpoint" in str([*made.argv, *made.env.items()]).replace(str(kept), "")
    without = command_for(grant(runtime="process"), ("process",), WORK, SPOOL, (), OUTSIDE)
    assert "FEDERATOR_CHECKPOINT_DIR" not in without.env
