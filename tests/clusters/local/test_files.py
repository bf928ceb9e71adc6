"""What is written to the disk, and read from it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.clusters.local import layout, logs
from federator.clusters.local.story import ENDED, RUNNING, Story
from federator.ports import ClusterUnreachable
from tests.clusters.local.machine import Machine, all_run, shell
from tests.contracts.harness import free_cpu, observe


def test_events_that_a_full_disk_does_not_take_are_written_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = layout.Journal(str(tmp_path / "journal"))
    journal.owe([{"event": "gone", "at_s": 1}])
    real = os.write
    full = [True]

    def write(fd: int, data: bytes) -> int:
        if full[0] and len(data) > 10:
            return real(fd, data[:10])  # the disk takes a part of it, then no more
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    journal.owe([{"event": "left", "index": 1}])
    assert not journal.write([{"event": "left", "index": 2}]), "a start that cannot be written must not happen"
    reader = layout.JournalReader(str(tmp_path / "journal"))
    assert [event["event"] for event in reader.new_events()] == ["gone"]
    full[0] = False
    assert journal.settle()
    assert reader.new_events() == [{"event": "left", "index": 1}]


def test_a_json_file_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "order.json")
    layout.write_json(path, {"a": 1})

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        layout.write_json(path, {"a": 2})
    assert layout.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["order.json"]


async def test_a_full_disk_makes_the_cluster_unreachable_for_submit_and_nothing_is_half_done(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await machine.open()
    free = free_cpu(await observe(provider))
    order = shell("sleep 600")
    with monkeypatch.context() as patch:

        def full(path: str, value: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(layout, "write_json", full)
        with pytest.raises(ClusterUnreachable, match="No space left on device"):
            await provider.submit(order)
        observation = await observe(provider)
        assert order.intent.id not in observation.intents
        assert free_cpu(observation) == free
    await provider.submit(order)
    await all_run(provider, order.intent.id)


async def test_a_damaged_file_is_named(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600")
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    path = machine.directory / order.intent.id / layout.ORDER
    whole = path.read_text()
    path.write_text(whole[:20])
    with pytest.raises(ClusterUnreachable, match=f"{layout.ORDER} is damaged"):
        await provider.observe()
    path.write_text(whole)
    assert (await observe(provider)).intents[order.intent.id].running


async def test_a_directory_that_cannot_be_made_makes_the_cluster_unreachable(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterUnreachable, match="Not a directory"):
        await machine.open(directory=tmp_path / "file" / "cluster")


@given(st.lists(st.sampled_from(["", "a", "bb", "é", "x" * 40]), max_size=30), st.booleans(), st.integers(0, 35))
def test_the_tail_of_a_log_is_its_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ends: bool, count: int
) -> None:
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    path = tmp_path_factory.getbasetemp() / "log"
    path.write_bytes(text.encode())
    whole = text.encode().splitlines(keepends=True)
    small, logs.PIECE = logs.PIECE, 7
    try:
        start = logs.start_of_tail(str(path), count)
    finally:
        logs.PIECE = small
    assert text.encode()[start:] == b"".join(whole[len(whole) - count :] if count < len(whole) else whole)


def test_a_story_is_the_same_told_at_once_or_piece_by_piece() -> None:
    events: list[layout.Event] = [
        {"event": "supervisor", "boot": "b", "pid": 1, "birth": 1, "at_s": 0.0},
        {"event": "started", "index": 4, "pid": 9, "birth": 2, "at_s": 1.0, "hash": "h"},
        {"event": "started", "index": 5, "pid": 8, "birth": 3, "at_s": 1.0, "hash": "h"},
        {"event": "ended", "index": 4, "reason": "", "exit_code": 0, "own_fault": True, "again_s": None, "at_s": 2.0}
        | {"message": ""},
    ]
    whole, pieces = Story(), Story()
    whole.tell(events)
    for event in events:
        pieces.tell([event])
    for story in (whole, pieces):
        assert {i: (r.phase, r.boot, r.pid) for i, r in story.replicas.items()} == {
            4: (ENDED, "b", 9),
            5: (RUNNING, "b", 8),
        }
        assert story.started_s == 1.0
