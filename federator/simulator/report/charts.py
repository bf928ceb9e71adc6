"""The charts of a report, of one run or of two side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federator.simulator.record import Record
from federator.simulator.report import backfill
from federator.simulator.report.drawing import (
    HATCHES,
    LINES,
    PALETTE,
    Layer,
    Scale,
    edges,
    exceeding,
    largest,
    layers,
    legend,
    look_of,
    named,
    offered,
    panels,
    scale,
    stack,
    steps,
    summed,
    widely,
)

Runs = Sequence[Record]
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its name in files, what draws it (None: there is nothing to show), its heading, what it shows."""

    name: str
    draw: Callable[[Runs], Figure | None]
    title: str
    words: str


def use(runs: Runs) -> Figure:
    """Cores in use in the whole federation, by class, of what its nodes offer."""
    figure, axes = panels(runs)
    per = scale(runs)
    for panel, run in zip(axes[0], runs, strict=True):
        _classes(panel, run, list(run.cores), per)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("cores")
    legend(figure, axes, 5)
    return figure


def clusters(runs: Runs) -> Figure | None:
    """The same for each cluster."""
    if max(len(run.cores) for run in runs) < 2:
        return None
    shown, rest = _most_used(runs)
    figure, axes = panels(runs, len(shown) + bool(rest), height=1.5)
    per = scale(runs)
    for row, names in zip(axes, [*([name] for name in shown), *([rest] if rest else [])], strict=True):
        for panel, run in zip(row, runs, strict=True):
            _classes(panel, run, [name for name in names if name in run.cores], per)
        title = names[0] if len(names) == 1 else f"{len(names)} others"
        row[0].set_ylabel(f"{_short(title)}\ncores")
    for panel in axes[-1]:
        panel.set_xlabel(per.name)
    legend(figure, axes, 6)
    return figure


def waiting(runs: Runs) -> Figure:
    """Workloads that wait, by queue."""
    return _by_queue(runs, "waiting", "workloads that wait")


def queues(runs: Runs) -> Figure:
    """Cores in use, by queue."""
    return _by_queue(runs, "queue", "cores in use")


def distributions(runs: Runs) -> Figure:
    """Waits and slowdowns: what part of all exceeds so much."""
    figure = Figure(figsize=(9.0 if len(runs) == 1 else 12.0, 2.8), layout="constrained")
    waits, slowdowns = figure.subplots(1, 2)
    for at, run in enumerate(runs):
        exceeding(waits, run.waits, 0.0, named(runs, at), **look_of(at))
        exceeding(slowdowns, run.slowdowns, 1.0, named(runs, at), **look_of(at))
    widely(waits, [value for run in runs for value, _ in run.waits], 0.0)
    widely(slowdowns, [value for run in runs for value, _ in run.slowdowns], 1.0)
    waits.set_xlabel("wait (s)")
    waits.set_ylabel("part of all that waits longer")
    slowdowns.set_xlabel("bounded slowdown")
    slowdowns.set_ylabel("part that is slowed down more")
    if len(runs) > 1:
        legend(figure, [[waits]])
    return figure


def fairness(runs: Runs) -> Figure:
    """Jain's index of queues, of all that has finished by then."""
    figure, axes = _one(runs)
    per = scale(runs)
    for at, run in enumerate(runs):
        colour, line = LINES[at]
        ends = edges(run, len(run.fairness))[1:]
        known = [(end, value) for end, value in zip(ends, run.fairness, strict=True) if value]
        axes.plot(
            [end / per.unit_s for end, _ in known], [value for _, value in known],
            color=colour, linestyle=line, label=named(runs, at),
        )  # fmt: skip
    per.on(axes)
    axes.set_xlabel(per.name)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Jain's index")
    _names(figure, axes, runs)
    return figure


def costs(runs: Runs) -> Figure | None:
    """What has been paid and emitted by then."""
    if not any(run.figures["cost"] or run.figures["carbon_g"] for run in runs):
        return None
    figure = Figure(figsize=(9.0 if len(runs) == 1 else 12.0, 2.6), layout="constrained")
    money, carbon = figure.subplots(1, 2)
    per = scale(runs)
    for at, run in enumerate(runs):
        colour, line = LINES[at]
        ends = edges(run, len(run.moves))
        for axes, kind, by in ((money, "cost", 1.0), (carbon, "carbon_g", 1000.0)):
            total = np.cumsum(summed(run, kind, list(run.cores)) * np.diff(ends)) / HOUR_S / by
            axes.plot(ends / per.unit_s, np.append(0.0, total), color=colour, linestyle=line, label=named(runs, at))
    for axes, words in ((money, "cost so far"), (carbon, "kg CO2e so far")):
        per.on(axes)
        axes.set_xlabel(per.name)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(words)
    _names(figure, money, runs)
    return figure


def moves(runs: Runs) -> Figure | None:
    """Replicas moved, and stopped for others, over time."""
    if not any(run.figures["moves"] or run.figures["preemptions"] for run in runs):
        return None
    figure, axes = panels(runs, height=2.2)
    per = scale(runs)
    for panel, run in zip(axes[0], runs, strict=True):
        ends = edges(run, len(run.moves))
        for values, words, colour, line in (
            (run.moves, "moved by a policy", PALETTE[0], "-"),
            (run.preemptions, "gave way to others", PALETTE[5], "--"),
        ):
            total = np.append(0.0, np.cumsum(values))
            panel.step(ends / per.unit_s, total, where="post", color=colour, linestyle=line, label=words)
        per.on(panel)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("replicas so far")
    legend(figure, axes)
    return figure


def refused(runs: Runs) -> Figure | None:
    """Replicas without a place, by the reason that counts."""
    if not any(run.refused for run in runs):
        return None
    figure, axes = panels(runs)
    per = scale(runs)
    reasons = sorted({reason for run in runs for reason in run.refused})
    for panel, run in zip(axes[0], runs, strict=True):
        at_s = np.append(np.array(run.looks_s), run.until_s) / per.unit_s
        base = np.zeros(len(run.looks_s))
        for at, reason in enumerate(reasons):
            top = base + np.array(run.refused.get(reason, [0] * len(run.looks_s)))
            if run.looks_s:
                panel.fill_between(
                    at_s, np.append(base, base[-1]), np.append(top, top[-1]), step="post", label=reason,
                    facecolor=PALETTE[at % len(PALETTE)], hatch=HATCHES[at % len(HATCHES)], edgecolor="white",
                    linewidth=0.0,
                )  # fmt: skip
            base = top
        per.on(panel)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("replicas without a place")
    legend(figure, axes)
    return figure


CHARTS: tuple[Chart, ...] = (
    Chart("use", use, "Use of all clusters",
          "Cores in use by class, averaged over time. The line is what the nodes that were there offer."),
    Chart("clusters", clusters, "Use by cluster",
          "The same for the clusters most used. Shaded: what went wrong there."),
    Chart("waiting", waiting, "What waits", "Workloads that have not started, by queue."),
    Chart("queues", queues, "What queues use", "Cores in use by queue, of all clusters together."),
    Chart("distributions", distributions, "Waits and slowdowns",
          "Of all workloads, the part that had to wait longer than so much, and that was slowed down more. Slowdown is "
          "the time from submission to end by the time that it runs, of at least 10 s."),
    Chart("fairness", fairness, "Fairness of queues",
          "Jain's index of the mean slowdowns of queues, of all that had finished by then: 1 where all are slowed down "
          "alike, 1/n where one of n bears it all."),
    Chart("costs", costs, "Cost and carbon",
          "Of all that ran until then, by prices, power and carbon intensity of clusters."),
    Chart("moves", moves, "Moves and preemptions",
          "Replicas that policies moved to another cluster, and that were stopped to make room."),
    Chart("refused", refused, "What was refused",
          "Replicas without a place, by reason. Where clusters give several, the one that time may cure counts."),
    Chart("filling", backfill.filling, "Backfill: what fills the clusters",
          "Of all that nodes offer, what production has, what backfill makes of the rest, and what stays idle. What "
          "that costs production is shown of runs that were told with `--measure-delay`."),
    Chart("delay", backfill.delays, "Backfill: what it costs production",
          "The same story was told once more without fillers. Left: waits of production in both. Right: how much "
          "longer each job waits with fillers than without; some wait less long, as others start later."),
    Chart("evictions", backfill.evictions, "Backfill: why it ended before its time",
          "Replicas of fillers in an hour, by cause. `Preempted`: production needed their room and the cluster ended "
          "them; a reason of the planner's: the plan took them back."),
    Chart("headroom", backfill.head_room, "Backfill: what it leaves free",
          "Cores that each filler leaves free (`keepFree`, `idleFor`), from looks at the plans, and those that were "
          "idle: what is kept free and not idle production has taken."),
)  # fmt: skip
"""All of them, in the order of the page."""


def _classes(axes: Axes, run: Record, names: Sequence[str], per: Scale) -> None:
    """Use by class on some clusters, what they offer, and what went wrong there."""
    foreign = np.full(len(run.moves), sum(run.foreign.get(name, 0.0) for name in names))
    found = [
        Layer("others", foreign, PALETTE[7], HATCHES[1]),
        Layer("production", summed(run, "production", names), PALETTE[0]),
        Layer("backfill", summed(run, "backfill", names), PALETTE[4], HATCHES[2]),
        Layer("backfill that was lost", summed(run, "backfill lost", names), PALETTE[3], HATCHES[3]),
        Layer("stopped before its end", summed(run, "lost", names), PALETTE[5], HATCHES[4]),
    ]
    stack(axes, run, [layer for layer in found if layer.name == "production" or layer.values.any()], per)
    steps(axes, run, offered(run, names), per, color="black", linewidth=1.0, label="offered")
    for fault in run.faults if len(names) == 1 else ():
        if fault.cluster == names[0] and not fault.by_chance:  # else the line of what is offered shows it
            since, until = fault.at_s / per.unit_s, fault.ends_s / per.unit_s
            axes.axvspan(since, until, color="black", alpha=0.15, hatch="//", label=fault.what, lw=0)


def _most_used(runs: Runs) -> tuple[list[str], list[str]]:
    """The clusters that get a panel each, most used first, and all others."""
    names = list(dict.fromkeys(name for run in runs for name in run.cores))
    used = {name: sum(float(summed(run, "production", [name]).sum()) for run in runs) for name in names}
    most = 6 if len(names) <= 6 else 5
    chosen = set(sorted(names, key=lambda name: (-used[name], name))[:most])
    return [name for name in names if name in chosen], [name for name in names if name not in chosen]


def _by_queue(runs: Runs, kind: str, words: str) -> Figure:
    figure, axes = panels(runs)
    per = scale(runs)
    shown, others = largest(runs, kind)
    for panel, run in zip(axes[0], runs, strict=True):
        stack(panel, run, layers(run, kind, shown, others), per)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel(words)
    legend(figure, axes, 8)
    return figure


def _one(runs: Runs) -> tuple[Figure, Axes]:
    """One panel for all runs."""
    figure = Figure(figsize=(9.0 if len(runs) == 1 else 12.0, 2.4), layout="constrained")
    return figure, figure.subplots()


def _names(figure: Figure, axes: Axes, runs: Runs) -> None:
    if len(runs) > 1:
        legend(figure, [[axes]])


def _short(text: str) -> str:
    return text if len(text) <= 18 else text[:17] + "…"
