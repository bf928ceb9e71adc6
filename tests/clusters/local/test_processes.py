"""What a replica is given, what it may not see, and that nothing of it stays."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from federator import processes
from federator.clusters.local import launch
from federator.model.indexset import IndexSet
from federator.model.intent import Container
from federator.ports import NoLogs, OrderRefused
from tests.clusters.local.machine import Machine, all_run, ended, output, says, shell
from tests.contracts.harness import observe, until
from tests.patience import PATIENCE_S


async def test_a_replica_sees_nothing_of_the_daemons_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@db.example.org/")
    monkeypatch.setenv("FEDERATOR_TOKEN", "secret")
    provider = await machine.open()
    script = f"env; ls -l /proc/self/fd; cat /proc/$PPID/environ; {machine.held}"
    order = shell(script, (5,), env={"MINE": "yes"})
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    supervisor = machine.supervisor(order.intent.id)
    for name in ("DATABASE_URL", "FEDERATOR_TOKEN"):
        assert processes.marker_of(supervisor, name) is None
    machine.let_go()
    await ended(provider, order.intent.id)
    said = await output(provider, order.intent.id, 5)
    assert "secret" not in said
    names = {line.partition("=")[0] for line in said.splitlines() if "=" in line and line[0].isupper()}
    assert names <= {
        "PATH", "HOME", "LANG", "PWD", "MINE", "OLDPWD", "SHLVL", "_",
        "FEDERATOR_REPLICA_INDEX", "FEDERATOR_WORKLOAD", "FEDERATOR_INTENT", "FEDERATOR_CLUSTER", "FEDERATOR_NODE",
        "FEDERATOR_DIRECTORY",
    }  # fmt: skip
    assert "MINE=yes" in said
    assert "FEDERATOR_REPLICA_INDEX=5" in said
    assert "FEDERATOR_WORKLOAD=work" in said
    assert "lock" not in said, "an inherited lock would outlive the supervisor"
    assert "journal" not in said


async def test_each_replica_has_a_working_directory_of_its_own_and_both_outputs_are_kept(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("pwd; echo trouble >&2; touch made; ls", (0, 3))
    await provider.submit(order)
    await ended(provider, order.intent.id)
    for index in (0, 3):
        directory = machine.directory.resolve() / order.intent.id / str(index)
        assert (await output(provider, order.intent.id, index)).splitlines() == [str(directory), "trouble", "made"]


async def test_a_relative_working_directory_is_made_and_one_that_is_not_there_is_an_error(machine: Machine) -> None:
    provider = await machine.open()
    good, bad = shell("pwd", working_dir="in/here"), shell("pwd", working_dir="/is/not/there")
    await provider.submit(good)
    await provider.submit(bad)
    await ended(provider, good.intent.id)
    assert (await output(provider, good.intent.id)).strip().endswith(f"{good.intent.id}/0/in/here")
    failure = (await ended(provider, bad.intent.id)).failed[0]
    assert failure.reason == "CannotRun"
    assert "working directory '/is/not/there' cannot be entered" in failure.message


@pytest.mark.parametrize(
    ("command", "words"),
    [("no-such-command", "is not there: No such file"), ("/etc/passwd", "cannot be run: Permission denied")],
)
async def test_a_command_that_cannot_run_says_so_in_plain_words(machine: Machine, command: str, words: str) -> None:
    provider = await machine.open()
    order = replace(shell(""), container=Container(command=(command,)))
    await provider.submit(order)
    failure = (await ended(provider, order.intent.id)).failed[0]
    assert failure.reason == "CannotRun"
    assert f"the command {command!r} {words}" in failure.message
    assert failure.own_fault


async def test_references_to_variables_in_a_command_mean_what_they_mean_on_kubernetes(machine: Machine) -> None:
    provider = await machine.open()
    container = Container(
        command=("echo", "$(FEDERATOR_REPLICA_INDEX)", "$(MINE)"),
        args=("$(UNKNOWN)", "$$(MINE)"),
        env={"MINE": "a b"},
    )
    order = replace(shell("", (7,)), container=container)
    await provider.submit(order)
    await ended(provider, order.intent.id)
    assert await output(provider, order.intent.id, 7) == "7 a b $(UNKNOWN) $(MINE)\n"


async def test_what_a_replica_started_ends_with_it(machine: Machine) -> None:
    """In its group, in a session of its own, and without any mark by which it could be known."""
    provider = await machine.open()
    script = f"sleep 600 & setsid sleep 601 & setsid env -i sleep 602 & {machine.held}; exit 0"
    order = shell(script, range(2))
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    family = await machine.family(order.intent.id, 9)
    machine.let_go()
    assert (await ended(provider, order.intent.id)).succeeded == IndexSet.span(0, 2)
    await until(provider, lambda _: not any(processes.birth(pid) for pid in family), "all are gone")


async def test_a_replica_that_ignores_the_polite_signal_is_killed_after_the_grace(machine: Machine) -> None:
    provider = await machine.open()
    for limit_s in (0.5, 2.0, 8.0, 32.0):
        order = shell("trap '' TERM; echo ready; while true; do sleep 0.05; done", time_limit_s=limit_s)
        await provider.submit(order)
        failure = (await ended(provider, order.intent.id)).failed[0]
        assert failure.reason == "DeadlineExceeded"
        assert machine.processes(order.intent.id) == []
        if await output(provider, order.intent.id):
            assert failure.exit_code == 137
            return
    raise AssertionError("no replica came so far as to ignore the signal")


async def test_a_cancelled_replica_has_its_grace_to_put_things_in_order(machine: Machine) -> None:
    provider = await machine.open()
    last_words = machine.tmp / "last-words"
    order = shell(
        f"trap 'sleep 0.3; echo saved > {last_words}; exit 0' TERM; echo ready; while true; do sleep 0.05; done"
    )
    await provider.submit(order)
    await says(provider, order.intent.id, "ready")
    await provider.cancel(order.intent.id, PATIENCE_S)
    assert (await observe(provider)).intents[order.intent.id].leaving
    await until(provider, lambda o: not o.intents, "it is gone")
    assert last_words.read_text() == "saved\n"


async def test_a_replica_that_holds_more_memory_than_it_asked_for_is_killed(machine: Machine) -> None:
    provider = await machine.open()
    hungry = f"{sys.executable} -S -c 'import time; held = bytearray(150 << 20); time.sleep(60)'"
    order, modest = shell(hungry, memory=64 << 20), shell("sleep 2", memory=64 << 20)
    await provider.submit(order)
    await provider.submit(modest)
    failure = (await ended(provider, order.intent.id)).failed[0]
    assert failure.reason == "OOMKilled"
    assert failure.exit_code == 137
    assert "may hold 99 MiB" in failure.message
    assert (await ended(provider, modest.intent.id)).succeeded


async def test_a_signal_that_ends_a_replica_is_named(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("echo about to go; kill -s SEGV $$$$")  # $$ is one dollar, as on Kubernetes
    await provider.submit(order)
    failure = (await ended(provider, order.intent.id)).failed[0]
    assert (failure.reason, failure.exit_code) == ("Error", 139)
    assert failure.message == "killed by SIGSEGV: about to go"
    assert not list((machine.directory / order.intent.id).rglob("core*"))


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (Container(image="docker://example.org/app:1"), "image 'docker://example.org/app:1' cannot be started here"),
        (Container(command=("echo", "a\0b")), "NUL"),
        (Container(command=("env",), env={"A=B": "c"}), "bad variable name"),
        (None, "no manifests"),
    ],
)
async def test_what_is_no_command_of_this_machine_is_refused(
    machine: Machine, container: Container | None, words: str
) -> None:
    provider = await machine.open()
    manifest = None if container else {"kind": "Job"}
    with pytest.raises(OrderRefused, match=words) as refusal:
        await provider.submit(replace(shell(""), container=container, manifest=manifest))
    assert refusal.value.permanent


async def test_logs_of_a_replica_that_waits_say_that_it_has_not_started(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600", cpu=10**9)
    await provider.submit(order)
    with pytest.raises(NoLogs, match=f"replica 0 of {order.intent.id} has not started"):
        await output(provider, order.intent.id)


async def test_followed_logs_come_while_the_replica_runs(machine: Machine) -> None:
    provider = await machine.open()
    order = shell(f"echo first; {machine.held}; echo second")
    await provider.submit(order)
    await says(provider, order.intent.id, "first")
    came = []
    async for piece in provider.logs(order.intent.id, 0, follow=True):
        came.append(piece)
        machine.let_go()
    assert came == [b"first\n", b"second\n"]


async def test_submitting_does_not_wait_for_a_supervisor_to_start(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await machine.open()
    monkeypatch.setattr(launch, "_START", f"import os; os.system({machine.held!r}); {launch._START}")
    orders = [shell("true") for _ in range(10)]
    for order in orders:
        await provider.submit(order)
        assert not machine.events(order.intent.id, "supervisor"), "it started, so this shows nothing"
    machine.let_go()
    for order in orders:
        await ended(provider, order.intent.id)

    def nobody_left(_: object) -> bool:
        return not [p for p in processes.children(os.getpid()) if processes.session(p) == p and processes.birth(p)]

    await until(provider, nobody_left, "no helper of the launches is left")
