"""Logs that are too long for memory: put in order, converted and replayed by way of a temporary file."""

from __future__ import annotations

import gzip
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zstandard import ZstdDecompressor

from federator.model.resources import CPU, Resources
from federator.model.workload import Role
from federator.simulator.traces import own, sorting
from federator.simulator.traces.converting import convert
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import jobs
from federator.simulator.traces.sorting import in_order
from federator.simulator.traces.summary import summary

LOG = Path("log")
HEADING = "JobID|Submit|AllocCPUS|ElapsedRaw|User\n"
TIMES = st.lists(st.integers(0, 30) | st.floats(0, 30), max_size=80)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is too long for memory that has eight jobs."""
    monkeypatch.setattr(sorting, "AT_ONCE", 8)
    monkeypatch.setattr(sorting, "IN_A_BLOCK", 3)


def _jobs(times: list[float]) -> Iterator[Job]:
    for at, submit_s in enumerate(times):
        yield Job(f"j{at}", submit_s, (Role("", 1 + at % 3, Resources.of({CPU: 1000})),), run_s=60, line=at + 1)


def _sacct(path: Path, count: int) -> Path:
    """A log of jobs in no order, several at one moment."""
    chance = random.Random(count)
    rows = [f"{at}|{chance.randrange(count)}|{1 + at % 4}|{at % 7}|u{at % 5}\n" for at in range(count)]
    path.write_text(HEADING + "".join(rows))
    return path


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("at_once", [1, 2, 8, 1000])
def test_jobs_come_in_the_order_of_submission_as_if_sorted_in_memory(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "AT_ONCE", at_once)

    @given(TIMES)
    def check(times: list[float]) -> None:
        assert list(in_order(LOG, _jobs(times))) == sorted(_jobs(times), key=attrgetter("submit_s"))

    check()


@pytest.mark.usefixtures("few")
def test_jobs_that_were_alike_before_they_waited_in_a_file_are_so_after() -> None:
    """So that a run makes one workload for all of them."""
    found = list(in_order(LOG, _jobs([5, 4, 3, 2, 1, 0] * 10)))
    assert len({id(job.roles) for job in found}) == len({job.roles for job in found}) == 3


@pytest.mark.usefixtures("few")
def test_a_log_in_order_is_one_stretch_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = list[int]()
    monkeypatch.setattr(sorting, "merge", lambda *ways, key: (merged.append(len(ways)), *ways)[1])
    assert len(list(in_order(LOG, _jobs([0.0] * 20 + [1.0] * 20)))) == 40
    assert merged == [1]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_what_is_converted_is_what_it_would_be_in_memory(count: int, tmp_path: Path) -> None:
    log, to = _sacct(tmp_path / "log", count), tmp_path / "log.jsonl"
    found = list(jobs(log))
    expected = "".join(f"{own.written(job)}\n" for job in found).encode()
    assert [job.submit_s for job in found] == sorted(job.submit_s for job in found)
    assert convert(log, to) == len(found) == count
    assert to.read_bytes() == expected
    convert(log, tmp_path / "log.jsonl.gz")
    assert (tmp_path / "log.jsonl.gz").read_bytes()[10:] == gzip.compress(expected, mtime=0)[10:]
    convert(log, tmp_path / "log.jsonl.zst")
    assert ZstdDecompressor().decompress((tmp_path / "log.jsonl.zst").read_bytes()) == expected


@pytest.mark.usefixtures("few")
def test_the_header_of_a_converted_log_tells_of_all_its_jobs(tmp_path: Path) -> None:
    convert(_sacct(tmp_path / "log", 50), tmp_path / "log.swf")
    found = summary(tmp_path / "log.swf")
    assert (found["jobs"], found["users"], found["out_of_order"]) == (50, 5, 0)
    assert {"key": "MaxJobs", "value": "50"} in found["header"]
    assert [pair["value"][0] for pair in found["header"] if pair["key"] == "User"] == list("12345")


def test_a_log_may_be_converted_into_itself_and_stays_as_it_was_where_it_is_wrong(tmp_path: Path) -> None:
    log, line = tmp_path / "log.swf", "{} {} 5 50 4 -1 -1 4 60 -1 1 7 2 -1 3 1 -1 -1\n"
    log.write_text(line.format(1, 9) + line.format(2, 0))
    assert convert(log, log) == 2
    assert [job.submit_s for job in jobs(log)] == [0, 9]
    wrong = log.read_text() + "what\n"
    log.write_text(wrong)
    with pytest.raises(TraceError, match="has 1 fields"):
        convert(log, log)
    assert log.read_text() == wrong


def test_memory_does_not_grow_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten times as many jobs no more are held at a time. All of them would take some 4 MiB."""
    monkeypatch.setattr(sorting, "AT_ONCE", 500)
    monkeypatch.setattr(sorting, "IN_A_BLOCK", 16)
    works: dict[str, Callable[[Path], object]] = {
        "swf": lambda log: convert(log, tmp_path / "log.swf"),
        "jsonl": lambda log: convert(log, tmp_path / "log.jsonl.zst"),
        "read": lambda log: sum(1 for _ in jobs(log)),
    }
    logs = [_sacct(tmp_path / str(count), count) for count in (1000, 10_000)]
    for name, work in works.items():
        small, large = (_peak_bytes(work, log) for log in logs)
        assert large - small < 2 << 20, (name, small, large)


def _peak_bytes(work: Callable[[Path], object], log: Path) -> int:
    tracemalloc.start()
    try:
        work(log)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("few")
def test_where_there_is_no_room_for_the_file_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _sacct(tmp_path / "log", 50)
    with monkeypatch.context() as nowhere:
        nowhere.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        for read in (lambda: list(jobs(log)), lambda: convert(log, tmp_path / "log.swf")):
            with pytest.raises(TraceError, match=r"log: .*in a file: No such file.*; make room there, .* in TMPDIR"):
                read()
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(sorting, "spool", lambda: full)
        with pytest.raises(TraceError, match=r"log: is too long for memory, .*: No space left on device; make room"):
            list(jobs(log))
    assert not (tmp_path / "log.swf").exists()


def test_where_a_log_cannot_be_written_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        TraceError, match=r"nowhere/log\.swf: cannot be written: No such file or directory; take another"
    ):
        convert(_sacct(tmp_path / "log", 5), tmp_path / "nowhere" / "log.swf")
