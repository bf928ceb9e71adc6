"""The tables of a report, of one run or of two side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from federator.simulator.record import QueueRow, Record

Cell = str | float | int | None
Runs = Sequence[Record]
Rows = list[tuple[Cell, ...]]
HOUR_S = 3600.0

FIGURES: Mapping[str, tuple[str, ...]] = {
    "submitted jobs": ("jobs", "submitted"),
    "finished jobs": ("jobs", "finished"),
    "running at the end": ("jobs", "running"),
    "waiting at the end": ("jobs", "waiting"),
    "failed jobs": ("jobs", "failed"),
    "makespan (s)": ("makespan_s",),
    "wait, mean (s)": ("wait_s", "mean"),
    "wait, 50% (s)": ("wait_s", "p50"),
    "wait, 95% (s)": ("wait_s", "p95"),
    "wait, 99% (s)": ("wait_s", "p99"),
    "wait, most (s)": ("wait_s", "max"),
    "bounded slowdown, mean": ("bounded_slowdown", "mean"),
    "bounded slowdown, 95%": ("bounded_slowdown", "p95"),
    "fairness of queues": ("fairness_jain",),
    "moves": ("moves",),
    "preemptions": ("preemptions",),
    "cost": ("cost",),
    "carbon (g)": ("carbon_g",),
}
"""Where each is in the document of a run."""

CLUSTERS: Mapping[str, Callable[[Record, str], Cell]] = {
    "cores at the end": lambda run, name: run.cores[name][-1],
    "cpu used (%)": lambda run, name: round(100 * run.figures["utilization"][name].get("cpu", 0.0), 2),
    "first used (s)": lambda run, name: run.figures["clusters"][name]["first_start_s"],
    "lost (core h)": lambda run, name: round(run.figures["clusters"][name]["cpu_s_lost"] / HOUR_S, 3),
    "cost": lambda run, name: run.figures["clusters"][name]["cost"],
    "CO2e (kg)": lambda run, name: round(run.figures["clusters"][name]["carbon_g"] / 1000, 4),
}

QUEUES: Mapping[str, Callable[[QueueRow], Cell]] = {
    "submitted": lambda row: row.submitted,
    "started": lambda row: row.started,
    "finished": lambda row: row.finished,
    "failed": lambda row: row.failed,
    "wait, mean (s)": lambda row: row.wait_s["mean"],
    "wait, 50% (s)": lambda row: row.wait_s["p50"],
    "wait, 95% (s)": lambda row: row.wait_s["p95"],
    "wait, most (s)": lambda row: row.wait_s["max"],
    "slowdown, mean": lambda row: row.slowdown["mean"],
    "slowdown, 95%": lambda row: row.slowdown["p95"],
    "core hours": lambda row: row.core_h,
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name in files, its heading, what it tells, its columns and rows."""

    name: str
    title: str
    words: str
    columns: tuple[str, ...]
    rows: Rows


def tables(runs: Runs) -> list[Table]:
    """All of them, in the order of the page; those without rows are left out."""
    parts = (_figures, _clusters, _queues, _reasons, _faults, _fillers, _delays)
    all_of_them = (part(runs) for part in parts)
    return [table for table in all_of_them if table.rows]


def _figures(runs: Runs) -> Table:
    rows: Rows = []
    for name, path in FIGURES.items():
        values = [_at(run.figures, path) for run in runs]
        rows.append((name, *values, *([round(values[1] - values[0], 6)] if len(runs) > 1 else [])))
    heads = ("value",) if len(runs) == 1 else ("A", "B", "B - A")
    return Table("figures", "Figures", "As `federator simulate -o json` tells them.", ("figure", *heads), rows)


def _clusters(runs: Runs) -> Table:
    names = dict.fromkeys(name for run in runs for name in run.cores)
    rows: Rows = [
        (name, *_letter(runs, at), *(tell(run, name) for tell in CLUSTERS.values()))
        for name in names
        for at, run in enumerate(runs)
        if name in run.cores
    ]
    words = "What ran there, of what its nodes offered over the whole run."
    return Table("clusters", "Clusters", words, ("cluster", *_run(runs), *CLUSTERS), rows)


def _queues(runs: Runs) -> Table:
    found = [{row.queue: row for row in run.queues} for run in runs]
    names = dict.fromkeys(name for rows in found for name in rows)
    rows: Rows = [
        (name, *_letter(runs, at), *(tell(mine[name]) for tell in QUEUES.values()))
        for name in names
        for at, mine in enumerate(found)
        if name in mine
    ]
    return Table("queues", "Queues", "Those with most workloads first.", ("queue", *_run(runs), *QUEUES), rows)


def _reasons(runs: Runs) -> Table:
    found = [{(row.reason, row.cluster): row for row in run.reasons} for run in runs]
    keys = list(dict.fromkeys(key for rows in found for key in rows))
    keys.sort(key=lambda key: -max(rows[key].replica_h for rows in found if key in rows))
    rows: Rows = [
        (
            *key,
            *(rows[key].replica_h if key in rows else 0.0 for rows in found),
            next(rows[key].words for rows in found if key in rows),
        )
        for key in keys
    ]
    hours = ["replica hours"] if len(runs) == 1 else ["replica hours, A", "replica hours, B"]
    words = (
        "Replicas by the hours for which a cluster refused them, from looks at the plans: about. A replica counts for "
        "every cluster that refused it. The words are those of the first refusal of the kind."
    )
    return Table("refusals", "Refusals by cluster", words, ("reason", "cluster", *hours, "for example"), rows)


def _faults(runs: Runs) -> Table:
    rows: Rows = [
        (*_letter(runs, at), fault.cluster, fault.what, fault.at_s, fault.ends_s)
        for at, run in enumerate(runs)
        for fault in run.faults
    ]
    heads = (*_run(runs), "cluster", "what went wrong", "from (s)", "to (s)")
    return Table("faults", "Faults", "What the scenario lets go wrong.", heads, rows)


def _fillers(runs: Runs) -> Table:
    rows: Rows = [
        (
            one.filler, one.cluster, *_letter(runs, at), one.useful_h, one.lost_h,
            round(100 * one.lost_h / (one.useful_h + one.lost_h), 3) if one.lost_h else 0.0,
            ", ".join(f"{cause} {count:,}" for cause, count in one.evictions.items()),
        )
        for at, run in enumerate(runs)
        for one in run.fillers
    ]  # fmt: skip
    words = "What backfill was worth. Useful is what came to its end or was saved in a checkpoint; the rest was lost."
    heads = (
        "filler",
        "cluster",
        *_run(runs),
        "useful (core h)",
        "lost (core h)",
        "lost (%)",
        "ended before their time",
    )
    return Table("fillers", "Fillers", words, heads, rows)


def _delays(runs: Runs) -> Table:
    rows: Rows = []
    for at, run in enumerate(runs):
        if (cost := run.delay) is None:
            continue
        letter = _letter(runs, at)
        for path, name, before in (
            ("wait_s", "wait", cost.wait_s),
            ("bounded_slowdown", "bounded slowdown", cost.slowdown),
        ):
            for key, value in before.items():
                now = _at(run.figures, (path, key))
                rows.append((f"{name}, {_rank(key)}", *letter, now, value, round(now - value, 6)))
        for key, value in cost.longer_s.items():
            rows.append((f"each job waits longer, {_rank(key)}", *letter, None, None, value))
        rows.append(("jobs that start later (%)", *letter, None, None, round(100 * cost.later, 3)))
    words = (
        "Production beside the same story without fillers, in seconds. Each job is held against itself, so the 95% of "
        "how much longer they wait is not the difference of the 95% of waits."
    )
    heads = ("production", *_run(runs), "with fillers", "without", "more")
    return Table("delays", "Delay of production by backfill", words, heads, rows)


def _rank(key: str) -> str:
    return f"{key[1:]}%" if key.startswith("p") else key


def _run(runs: Runs) -> tuple[str, ...]:
    """The column that says which run, where there are two."""
    return ("run",) if len(runs) > 1 else ()


def _letter(runs: Runs, at: int) -> tuple[str, ...]:
    return ("AB"[at],) if len(runs) > 1 else ()


def _at(figures: Mapping[str, object], path: Sequence[str]) -> float:
    value: object = figures
    for key in path:
        value = value[key] if isinstance(value, Mapping) else 0
    return value if isinstance(value, int | float) else 0.0
