"""An order becomes jobs, and what users wrote arrives as they wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clusters.htcondor import jobs
from federator.clusters.htcondor.settings import Access, HTCondorSettings
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import OrderRefused

TOLD = "import os, sys; print(ascii([sys.argv[1:], os.environ.get('X'), os.getcwd()]))"
SETTINGS = HTCondorSettings(Access("127.0.0.1:9618"), Path("/tmp"))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def order(container: Container, **amounts: int) -> Order:
    role = Role("", 3, Resources.of({CPU: 1500, MEMORY: (1 << 30) + 1, **amounts}))
    intent = Intent("i-1", "w", "uid", "", "pool", IndexSet.span(0, 3))
    return Order(intent, Lifetime.BATCH, (role,), queue="q", container=container, spec_hash="h")


def described(container: Container, **amounts: int) -> dict[str, str]:
    return jobs.description(order(container, **amounts), "fed", SETTINGS, "")


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXTS, max_size=3), TEXTS)
def test_words_and_variables_arrive_as_they_were_written(words: list[str], value: str) -> None:
    """Through the shell of the worker node, as HTCondor hands it over: quotes, dollars, newlines, other alphabets."""
    dollars = [word.replace("$", "$$") for word in (*words, value)]
    container = Container("", (sys.executable, "-c", TOLD), tuple(dollars[:-1]), {"X": dollars[-1]}, "/")
    packed = jobs.packed(jobs.script(container))
    assert not set(packed) & set("'\"$\n"), packed
    shell = jobs.UNPACK.replace('\\"', '"').replace("$(DOLLAR)", "$")
    done = subprocess.run(["/bin/sh", "-c", shell, packed], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii([list(words), value, "/"])


def test_references_are_replaced_and_a_folder_of_its_own_is_made(tmp_path: Path) -> None:
    words = ("sh", "-c", "echo $0 $1; pwd", "$(FEDERATOR_REPLICA_INDEX)", "$(X)")
    container = Container("", words, (), {"X": "$(FEDERATOR_WORKLOAD)!", "FEDERATOR_REPLICA_INDEX": "mine"}, "a/b")
    env = {"FEDERATOR_REPLICA_INDEX": "3", "FEDERATOR_WORKLOAD": "w"}
    words = ("/bin/sh", "-c", jobs.script(container))
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"3 w!\n{tmp_path}/a/b\n"


def test_amounts_are_rounded_up_to_what_htcondor_gives() -> None:
    told = described(Container(command=("x",)), **{"nvidia.com/gpu": 2, "ephemeral-storage": 1025})
    assert (told["request_cpus"], told["request_memory"]) == ("2", "1025")
    assert (told["request_gpus"], told["request_disk"]) == ("2", "2")


def test_an_image_is_run_by_whatever_the_slot_has_for_images() -> None:
    told = described(Container("registry.example.org/tool:1", ("x",)))
    assert told["universe"] == "container"
    assert told["container_image"] == "docker://registry.example.org/tool:1"
    assert described(Container("/cvmfs/images/tool", ("x",)))["container_image"] == "/cvmfs/images/tool"


def test_a_job_carries_whose_it_is_and_stays_until_it_is_cancelled() -> None:
    told = described(Container(command=("x",)))
    assert json.loads(told["My.FederatorIntent"]) == "i-1"
    assert told["My.FederatorIndex"] == "$(index)"
    assert told["leave_in_queue"].startswith("JobStatus == 4")


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (Container("docker://x"), "no command"),
        (Container(command=("a\0b",)), "NUL"),
        (Container(command=("a",), env={"A=B": "1"}), "variable name"),
        (Container("docker://a b", ("x",)), "no image"),
    ],
)
def test_what_cannot_be_run_is_refused_for_good(container: Container, words: str) -> None:
    with pytest.raises(OrderRefused, match=words) as refusal:
        described(container)
    assert refusal.value.permanent


def test_a_resource_that_htcondor_does_not_know_is_refused() -> None:
    with pytest.raises(OrderRefused, match=r"example\.org/fpga"):
        described(Container(command=("x",)), **{"example.org/fpga": 1})


def test_a_service_starts_again_and_a_batch_does_not() -> None:
    batch = order(Container(command=("x",)))
    service = jobs.description(replace(batch, lifetime=Lifetime.SERVICE), "fed", SETTINGS, "")
    assert service["on_exit_remove"] == "false"
    assert described(Container(command=("x",)))["on_exit_remove"] == "true"
