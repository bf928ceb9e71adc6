"""Logs as users have them: each is read, or it is told what is wrong where."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from zstandard import ZstdCompressor

from federator.documents.sources import TracePart
from federator.simulator.traces.converting import convert
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import AS_IT_IS, READERS, jobs
from federator.simulator.traces.summary import summary
from federator.simulator.traces.workloads import arrivals

SWF = "; MaxProcs: 8\n1 0 5 50 4 -1 -1 4 60 -1 1 7 2 -1 3 1 -1 -1\n2 10 5 50 4 -1 -1 4 60 -1 1 7 2 -1 3 1 -1 -1\n"
SACCT = (
    "JobID|Submit|AllocCPUS|ElapsedRaw|State\n7|2026-11-01T08:00:00|4|10|COMPLETED\n8|2026-11-01T08:00:09|4|20|FAILED\n"
)
PHILLY = "job_id,num_gpu,submit_time,duration\n1,4,30,600\n2,2,40,60\n"
OPENB = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n"
    "p0,12000,16384,1,1000,10,110,20\np1,12000,16384,1,1000,20,110,20\n"
)
OWN = '{"name": "a", "submit_s": 0, "run_s": 60}\n{"name": "b", "submit_s": 5, "run_s": 60}\n'
AD = "ClusterId = {}\nQDate = 1700000000\nRequestCpus = 2\nJobStatus = 4\nRemoteWallClockTime = 60.0\n"
CONDOR = AD.format(4) + "\n" + AD.format(5)
XML = """<?xml version="1.0"?>
<!DOCTYPE classads SYSTEM "classads.dtd">
<classads>
{}</classads>
"""
XML_AD = """<c>
    <a n="ClusterId"><i>{}</i></a>
    <a n="QDate"><i>1700000000</i></a>
    <a n="RequestCpus"><i>2</i></a>
    <a n="JobStatus"><i>4</i></a>
    <a n="RemoteWallClockTime"><r>6.0E+01</r></a>
    <a n="Requirements"><e>TARGET.Memory &gt; 4 &amp;&amp; true</e></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="Inner"><c><a n="ClusterId"><i>9</i></a></c></a>
    <a n="Nothing"></a>
</c>
"""
LOGS = {"swf": SWF, "sacct": SACCT, "philly": PHILLY, "openb": OPENB, "federator": OWN, "condor": CONDOR}


def _read(tmp_path: Path, text: str | bytes, name: str = "log", form: str | None = None) -> list[Job]:
    """The jobs, wherever they stand in the log."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = jobs(path, TracePart.model_validate({"file": name, "format": form}))
    return [job._replace(line=0) for job in found]


@pytest.mark.parametrize("form", LOGS)
def test_marks_of_order_ends_of_lines_and_a_missing_last_one_change_nothing(form: str, tmp_path: Path) -> None:
    """As Windows writes text, and as a file looks whose last line has no end."""
    text = LOGS[form]
    expected = _read(tmp_path, text)
    assert len(expected) == 2
    for odd in (
        "\ufeff" + text, text.replace("\n", "\r\n"), text.rstrip("\n"), text.replace("\n", "\n\n", 2) + "\n",
        gzip.compress(("\ufeff" + text).encode()),
    ):  # fmt: skip
        if form != "condor" or "\n\n" not in str(odd):  # there an empty line ends a job
            assert _read(tmp_path, odd) == expected


@pytest.mark.parametrize("form", LOGS)
def test_empty_logs_and_those_of_two_bytes_to_a_letter_are_told(form: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="log: is empty; fetch it again"):
        _read(tmp_path, "")
    with pytest.raises(TraceError, match="log: is text in UTF-16; write it in UTF-8"):
        _read(tmp_path, LOGS[form].encode("utf-16"), form=form)


@pytest.mark.parametrize("packed", [gzip.compress, ZstdCompressor().compress])
@pytest.mark.parametrize("form", LOGS)
def test_logs_that_are_cut_off_or_damaged_are_told_with_the_last_line_that_is_whole(
    form: str, packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Half of what was packed first is there of them, so that some lines of it can still be read, or none."""
    text = LOGS[form].encode()
    whole, other = packed(text), packed(text * 50)
    count = text.count(b"\n")
    with pytest.raises(
        TraceError, match=rf"log:{count}: ends in the middle, no line after this one is whole: .*; fetch"
    ):
        _read(tmp_path, whole + other[:12], form=form)
    with pytest.raises(
        TraceError, match=rf"log:{count}: cannot be unpacked, no line after this one is whole: .*; fetch"
    ):
        _read(tmp_path, whole + other[:10] + b"\xff" * 4000, form=form)
    with pytest.raises(TraceError, match=r"log: ends in the middle, nothing of it is whole: .*; fetch it again"):
        _read(tmp_path, whole[:12], form=form)


def test_comments_and_numbers_with_a_point_are_read_anywhere_in_swf(tmp_path: Path) -> None:
    expected = _read(tmp_path, SWF)
    first, one, two = SWF.splitlines(keepends=True)
    assert _read(tmp_path, f"{first}{one}; more\n  ; of it\n# and this\n{two}") == expected
    dotted = " ".join(f"{word}.0" for word in one.split())
    assert _read(tmp_path, f"{first}\t{dotted}\n{two}".replace(" ", "\t"), name="log.swf") == expected


@pytest.mark.parametrize("lines", [1, 127, 128, 129, 300])
def test_the_first_wrong_line_is_told_wherever_it_is_and_what_comes_before_it_is_read(
    lines: int, tmp_path: Path
) -> None:
    line = "{} 0 5 50 4 -1 -1 4 60 -1 1 7 2 -1 3 1 -1 {}\n"
    path = tmp_path / "log.swf"
    path.write_text("".join(line.format(at, -1) for at in range(lines)) + line.format(9, "x") + line.format(9, "y"))
    found = jobs(path)
    assert [next(found).name for _ in range(lines)][-1] == f"{lines - 1:08d}"
    with pytest.raises(TraceError, match=rf"log\.swf:{lines + 1}: think_s is 'x'; write a number"):
        next(found)


def test_jobs_out_of_order_or_of_one_name_take_part_in_no_run(tmp_path: Path) -> None:
    """``trace info`` counts them, ``trace convert`` puts them right; a run would tell lies of them, and says where."""
    first, one, two = SWF.splitlines(keepends=True)
    part = TracePart.model_validate({"file": "log.swf"})
    path = tmp_path / "log.swf"
    path.write_text(first + two + one)
    assert summary(path)["out_of_order"] == 1
    assert convert(path, tmp_path / "right.swf") == 2
    assert [(one.at_s, one.name) for one in arrivals(part, tmp_path / "right.swf")] == [
        (0, "job-00000001"), (10, "job-00000002"),
    ]  # fmt: skip
    told = (
        r"log\.swf:3: job 00000001 was submitted before the job above it \(at 0 s, that of line 2 at 10 s\); .*convert"
    )
    with pytest.raises(TraceError, match=told):
        list(arrivals(part, path))
    path.write_text(first + one + "\n" + one)
    assert convert(path, tmp_path / "right.swf") == 2
    assert len({one.name for one in arrivals(part, tmp_path / "right.swf")}) == 2
    told = r"log\.swf:4: several jobs are called 00000001, the first in line 2; give each .*convert"
    with pytest.raises(TraceError, match=told):
        list(arrivals(part, path))


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (SWF + SWF.splitlines()[2], "log:4: several jobs are called 00000002, the first in line 3"),
        (SACCT + SACCT.splitlines()[2], "log:4: several jobs are called 8, the first in line 3"),
        (
            "JobID|Submit|NCPUS|Elapsed\n7|90|1|05:00\n7|20|1|05:00\n",
            "log:3: several jobs are called 7, the first in line 2",
        ),
        (PHILLY + PHILLY.splitlines()[2], "log:4: several jobs are called 2, the first in line 3"),
        (OPENB + OPENB.splitlines()[2], "log:4: several jobs are called p1, the first in line 3"),
        (OWN + OWN.splitlines()[1], "log:3: several jobs are called b, the first in line 2"),
        (CONDOR + "\n" + AD.format(5), "log:17: several jobs are called 5.0, the first in line 12"),
    ],
)
def test_two_jobs_of_one_name_are_told_with_both_lines(again: str, told: str, tmp_path: Path) -> None:
    """In the log's own order, also where a run sorts it and meets the other one first."""
    path = tmp_path / "log"
    path.write_text(again)
    with pytest.raises(TraceError, match=f"{told}; give each a name of its own"):
        list(arrivals(AS_IT_IS, path))


@pytest.mark.parametrize("form", LOGS)
def test_jobs_that_ask_for_the_same_share_one_workload_in_every_format(form: str, tmp_path: Path) -> None:
    """So that a run of a long log holds few."""
    path = tmp_path / "log"
    path.write_text(LOGS[form].replace("2,2,40,60", "2,4,40,60"))
    one, other = arrivals(AS_IT_IS, path)
    assert one.like is other.like
    assert one.workload.name != other.workload.name


@pytest.mark.parametrize("ending", ["", "|"])
def test_steps_arrays_and_words_of_sacct(ending: str, tmp_path: Path) -> None:
    """``-p`` ends each line with a bar; an array that waits is one line; limits may be words."""
    rows = [
        "JobID|User|Submit|Start|Elapsed|Timelimit|NCPUS|State",
        "1|ada|2026-11-01T08:00:00|2026-11-01T08:00:10|1-02:03:04|2-00:00:00|4|COMPLETED",
        "1.batch||2026-11-01T08:00:10|2026-11-01T08:00:10|1-02:03:04||4|COMPLETED",
        "1.extern||2026-11-01T08:00:10|2026-11-01T08:00:10|1-02:03:04||4|COMPLETED",
        "JobID|User|Submit|Start|Elapsed|Timelimit|NCPUS|State",
        "5_[1-9]|ada|2026-11-01T08:00:01|Unknown|00:00:00|UNLIMITED|2|PENDING",
        "5_0|ada|2026-11-01T08:00:01|2026-11-01T08:01:01|05:30|Partition_Limit|2|CANCELLED by 7",
    ]
    found = _read(tmp_path, "".join(f"{row}{ending}\n" for row in rows))
    assert [(job.name, job.run_s, job.expected_s, job.wait_s, job.status) for job in found] == [
        ("1", 93784, 172800, 10, 1), ("5_[1-9]", None, None, None, -1), ("5_0", 330, None, 60, 5),
    ]  # fmt: skip
    assert [job.roles[0].replicas for job in found] == [4, 2, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("JobID|Submit|NCPUS|Elapsed\n1|100|4|90\n", r"log:2: Elapsed is '90'; print it as sacct does"),
        ("JobID|Submit|NCPUS\n|100|4\n", r"log:2: JobID is ''; every job needs a name"),
        ("JobID   Submit   NCPUS\n-----\n", r"log:1: the heading has no JobIDRaw or JobID; .*--parsable2"),
        (
            "JobID|JobName|Submit|NCPUS\n1|a|b|100|4\n",
            r"log:2: has 5 fields, the heading 4; .*without fields like JobName",
        ),
        (PHILLY + '3,1,50,"1\n00"\n', r"log:4: a quoted field goes on in the next line"),
        (PHILLY + ",1,50,100\n", r"log:4: job_id is ''; every job needs a name"),
        (XML.format(XML_AD.format(4) + "<c>\n<a n=\n"), r"log:\d+: is no XML: "),
        (XML.format("<c>\n</c>\n"), r"log:5: the job has no ClusterId"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=told):
        _read(tmp_path, text)


def test_tables_as_other_programs_write_them(tmp_path: Path) -> None:
    """Whole numbers with a point, -1 for what is not known, names in capitals, comments, zones."""
    expected = _read(tmp_path, PHILLY)
    assert (
        _read(tmp_path, "# made by hand\nJob_ID,Num_GPU,Submit_Time,Duration\n1,4.0,30.0,600.0\n#\n2,2.0,40,60\n")
        == expected
    )
    assert _read(tmp_path, "job_id,num_gpu,submit_time,duration\n1,4,30,-1\n")[0].run_s is None
    dates = "job_id,num_gpu,submit_time,duration\n1,1,2020-05-01 12:00:00+02:00,6\n2,1,2020-05-01T12:00:00Z,6\n"
    assert [job.submit_s for job in _read(tmp_path, dates)] == [0, 7200]


def test_condor_history_in_all_its_forms(tmp_path: Path) -> None:
    """A list on one line, XML, names in any letters, a line of the schedd before them, expressions of two lines."""
    expected = _read(tmp_path, CONDOR)
    assert [(job.name, job.run_s, job.roles[0].requests["cpu"]) for job in expected] == [
        ("4.0", 60, 2000), ("5.0", 60, 2000),
    ]  # fmt: skip
    ads = [
        {"ClusterId": 4 + at, "QDate": 1700000000, "RequestCpus": 2, "JobStatus": 4, "RemoteWallClockTime": 60.0}
        for at in range(2)
    ]
    nested = json.dumps([ad | {"In": {"a": [{"b": "}"}]}} for ad in ads], indent=1)
    odd = CONDOR.replace("QDate", "MY.x = 3\nRank = (a == b) && \\\n   (c == d)\nqdate")
    for text in (json.dumps(ads), nested, "-- Schedd: here : <[::1]:9618>\n" + odd):
        assert _read(tmp_path, text) == expected
    by_xml = _read(tmp_path, XML.format(XML_AD.format(4) + XML_AD.format(5)))
    assert by_xml == [job._replace(user="ada") for job in expected]


def test_logs_are_summed_up_in_their_own_order(tmp_path: Path) -> None:
    """So that no job need be kept; times still count from the first submission."""
    assert not READERS["sacct"].ordered
    (tmp_path / "log").write_text(SACCT + "9|2026-11-01T07:59:59|4|20|FAILED\n")
    found = summary(tmp_path / "log")
    assert (found["first_submit_s"], found["last_submit_s"], found["out_of_order"]) == (0, 10, 1)
