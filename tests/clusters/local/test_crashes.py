"""Whatever dies, and however: nothing is lost, nothing runs twice, nothing is left over."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federator.clusters.local import launch, layout
from federator.model.indexset import IndexSet
from federator.model.workload import Lifetime
from federator.ports import OrderRefused
from federator.processes import birth, children
from tests.clusters.local.machine import Machine, all_run, ended, shell
from tests.contracts.harness import observe, until, until_intent
from tests.patience import PATIENCE_S

DAEMON = """
import asyncio, pickle, sys
from pathlib import Path
from federator.clock import SystemClock
from federator.clusters.local import LocalProvider

async def main():
    settings, orders = pickle.loads(Path(sys.argv[1]).read_bytes())
    provider = LocalProvider("here", settings, clock=SystemClock())
    await provider.open()
    print("open", flush=True)
    for order in orders:
        await provider.submit(order)
        print("sent", flush=True)
    while True:
        await provider.observe()
        await provider.changed()

asyncio.run(main())
"""


async def vanish(pids: list[int]) -> bool:
    """Whether all of these processes end within a while."""
    for _ in range(round(PATIENCE_S / 0.1)):
        if not any(birth(pid) for pid in pids):
            return True
        await asyncio.sleep(0.1)
    return False


async def test_a_hundred_replicas_run_once_each_though_their_provider_is_replaced_again_and_again(
    machine: Machine,
) -> None:
    starts = machine.tmp / "starts"
    order = shell(f"echo $FEDERATOR_REPLICA_INDEX >> {starts}; sleep 0.3", range(100))
    seen = None
    for _ in range(6):
        provider = await machine.open()  # the one before is forgotten without a word
        await provider.submit(order)
        await asyncio.sleep(0.1)
        seen = (await observe(provider)).intents[order.intent.id]
    assert seen is not None
    seen = await ended(provider, order.intent.id)
    assert seen.succeeded == IndexSet.span(0, 100)
    assert sorted(map(int, starts.read_text().split())) == list(range(100))


async def test_a_daemon_killed_at_any_moment_leaves_everything_running_and_nothing_twice(machine: Machine) -> None:
    """A process that submits and watches is killed with SIGKILL, ever later; its successor sends everything again."""
    starts = machine.tmp / "starts"
    orders = [
        shell(f"echo $FEDERATOR_INTENT $FEDERATOR_REPLICA_INDEX >> {starts}; sleep 0.5; exit 5", (1, 8))
        for _ in range(8)
    ]
    plan = machine.tmp / "plan"
    plan.write_bytes(pickle.dumps((machine.settings, orders)))
    for sent in (0, 1, 3, 6):
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DAEMON, str(plan), stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert daemon.stdout is not None
        for _ in range(sent + 1):
            await daemon.stdout.readline()
        os.killpg(daemon.pid, signal.SIGKILL)
        await daemon.wait()
    provider = await machine.open()
    for order in orders:
        await provider.submit(order)
    for order in orders:
        seen = await ended(provider, order.intent.id)
        assert [(failure.index, failure.exit_code) for failure in seen.failed] == [(1, 5), (8, 5)]
    lines = starts.read_text().split("\n")[:-1]
    assert sorted(lines) == sorted(f"{order.intent.id} {index}" for order in orders for index in (1, 8))


async def test_no_supervisor_is_a_child_of_the_daemon(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 60")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    await observe(provider)
    assert machine.supervisor(order.intent.id) not in children(os.getpid())


async def test_replicas_whose_supervisor_was_killed_are_reported_lost_and_do_not_run_on(machine: Machine) -> None:
    provider = await machine.open()
    # A grandchild that left the session and the group, and one whose environment was emptied but not its session.
    order = shell("setsid sleep 600 & env -i sleep 601 & sleep 602", range(3))
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    before = await machine.family(order.intent.id, 1 + 3 * 4)
    os.kill(machine.supervisor(order.intent.id), signal.SIGKILL)
    seen = await ended(provider, order.intent.id)
    assert [(failure.index, failure.reason, failure.own_fault) for failure in seen.failed] == [
        (index, "NodeLost", False) for index in range(3)
    ]
    assert machine.processes(order.intent.id) == []
    assert not any(birth(pid) for pid in before)


async def test_ends_that_were_seen_stay_seen_when_the_supervisor_is_killed(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("test $FEDERATOR_REPLICA_INDEX = 2 && sleep 60; exit 0", range(3))
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: len(s.succeeded) == 2, "two are through")
    os.kill(machine.supervisor(order.intent.id), signal.SIGKILL)
    seen = await ended(provider, order.intent.id)
    assert seen.succeeded == IndexSet.span(0, 2)
    assert [failure.index for failure in seen.failed] == [2]
    assert len(machine.events(order.intent.id, "started")) == 3


async def test_a_service_whose_supervisor_was_killed_is_started_again(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("exec sleep 600", range(2), lifetime=Lifetime.SERVICE)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    before = await machine.family(order.intent.id, 1 + 2)
    os.kill(machine.supervisor(order.intent.id), signal.SIGKILL)
    await until(provider, lambda _: len(machine.events(order.intent.id, "started")) == 4, "both start again")
    await all_run(provider, order.intent.id)
    assert not any(birth(pid) for pid in before)
    await until(provider, lambda _: len(machine.processes(order.intent.id)) == 2, "each has one process")


async def test_a_process_that_took_over_a_process_id_is_left_alone(machine: Machine) -> None:
    """After a reboot the journal's process ids belong to others: the birth and the boot tell."""
    provider = await machine.open()
    order = shell("sleep 600")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    innocent = await asyncio.create_subprocess_exec("sleep", "600")
    supervisor = machine.supervisor(order.intent.id)
    os.kill(supervisor, signal.SIGSTOP)
    journal = machine.directory / order.intent.id / layout.JOURNAL
    pid = machine.events(order.intent.id, "started")[0]["pid"]
    journal.write_text(journal.read_text().replace(f'"pid":{pid}', f'"pid":{innocent.pid}'))
    os.kill(supervisor, signal.SIGKILL)
    second = await machine.open()
    seen = await ended(second, order.intent.id)
    assert seen.failed[0].reason == "NodeLost"
    assert innocent.returncode is None
    assert birth(innocent.pid) is not None
    innocent.kill()
    await innocent.wait()


async def test_a_torn_last_line_of_the_journal_is_no_event(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    os.kill(machine.supervisor(order.intent.id), signal.SIGKILL)
    journal = machine.directory / order.intent.id / layout.JOURNAL
    journal.write_text(journal.read_text() + '{"event":"ended","index":0,"rea')
    seen = await ended(await machine.open(), order.intent.id)
    assert [failure.reason for failure in seen.failed] == ["NodeLost"]


async def test_a_submit_that_crashed_half_way_is_made_whole_by_the_next(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("true")
    (machine.directory / order.intent.id).mkdir()
    assert order.intent.id not in (await observe(provider)).intents
    await provider.submit(order)
    assert (await ended(provider, order.intent.id)).succeeded == IndexSet.span(0, 1)


async def test_an_order_on_the_disk_without_a_supervisor_is_carried_out_by_the_next_observation(
    machine: Machine,
) -> None:
    """The daemon died between writing the order and starting the supervisor."""
    provider = await machine.open()
    order = shell("sleep 0.1")
    await provider.submit(order)
    await ended(provider, order.intent.id)
    source = machine.directory / order.intent.id
    copy = machine.directory / "i-copy"
    copy.mkdir()
    (copy / layout.ORDER).write_text((source / layout.ORDER).read_text().replace(order.intent.id, "i-copy"))
    os.mkfifo(copy / layout.POKE)
    assert (await ended(await machine.open(), "i-copy")).succeeded == IndexSet.span(0, 1)


async def test_an_intent_that_was_cancelled_never_runs_again(machine: Machine) -> None:
    """A late repeat of submit, even one that another daemon sends, and even if the cancel came first."""
    provider = await machine.open()
    sent, unsent = shell("sleep 600"), shell("sleep 600")
    await provider.submit(sent)
    for order in (sent, unsent):
        await provider.cancel(order.intent.id, 0.1)
    await until(provider, lambda o: not o.intents, "it is gone")
    for one in (provider, await machine.open()):
        for order in (sent, unsent):
            with pytest.raises(OrderRefused) as refusal:
                await one.submit(order)
            assert (refusal.value.reason, refusal.value.permanent) == ("Cancelled", True)
    assert (await observe(provider)).intents == {}


async def test_a_cancel_is_carried_out_though_the_daemon_dies(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("trap '' TERM; sleep 600 & wait; sleep 600")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    pids = await machine.family(order.intent.id, 1 + 2)
    await provider.cancel(order.intent.id, 0.5)
    await provider.close()
    assert await vanish(pids)
    second = await machine.open()
    await until(second, lambda o: not o.intents, "its files are gone too")
    assert not (machine.directory / order.intent.id).exists()


async def test_replicas_end_when_their_directory_is_deleted(machine: Machine) -> None:
    """Nobody is left who could ask them to."""
    provider = await machine.open()
    order = shell("sleep 600")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    pids = await machine.family(order.intent.id, 1 + 1)
    shutil.rmtree(machine.directory)
    assert await vanish(pids)


@pytest.mark.thorough
async def test_a_supervisor_that_cannot_even_start_is_told_of(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await machine.open()
    order = shell("true")
    with monkeypatch.context() as patch:
        patch.setattr(launch, "_START", "raise SystemExit('broken')")
        await provider.submit(order)
        seen = await until_intent(provider, order.intent.id, lambda s: bool(s.notes), "it is told of")
    assert seen.notes[0].reason == "SupervisorFailed"
    assert "supervisor.log" in seen.notes[0].message
    assert (await ended(provider, order.intent.id)).succeeded
    assert not (await observe(provider)).intents[order.intent.id].notes


def test_a_supervisor_imports_nothing_beyond_the_standard_library(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({launch._ROOT!r}); import federator.clusters.local.supervise; "
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)), "
        "*[m for m in sys.modules if m.startswith('federator')])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    ours = {
        "federator",
        "federator.expansion",
        "federator.processes",
        "federator.clusters",
        "federator.clusters.local",
        "__main__",
    }
    modules = {name for name in done.stdout.split() if not name.startswith("federator.clusters.local.")}
    assert modules - ours == set()
