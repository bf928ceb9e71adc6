"""The charts of backfill: what fills the clusters, why it ended, what it costs production, what it leaves free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from federator.simulator.record import Record
from federator.simulator.report.drawing import (
    HATCHES,
    LINES,
    PALETTE,
    Array,
    Layer,
    edges,
    exceeding,
    legend,
    named,
    offered,
    panels,
    scale,
    stack,
    summed,
    widely,
)

Runs = Sequence[Record]
HOUR_S = 3600.0
IDLE = "#e6e6e6"
WITHOUT = ((PALETTE[2], ":"), (PALETTE[3], "-."))
"""Of the first run and of the second, told without fillers."""
STROKES = ("-", "--", ":", "-.")


def filling(runs: Runs) -> Figure | None:
    """What is done with all that the nodes offer, in per cent."""
    if not _any_fillers(runs):
        return None
    figure, axes = panels(runs)
    per = scale(runs)
    for panel, run in zip(axes[0], runs, strict=True):
        whole = np.maximum(offered(run, list(run.cores)), 1e-9)
        parts = {kind: 100 * summed(run, kind, list(run.cores)) / whole for kind in ("production", "backfill")}
        wasted = 100 * summed(run, "backfill lost", list(run.cores)) / whole
        other = 100 * (sum(run.foreign.values()) + summed(run, "lost", list(run.cores))) / whole
        used = parts["production"] + parts["backfill"] + wasted + other
        found = [
            Layer("others, and production that was lost", other, PALETTE[7], HATCHES[1]),
            Layer("production", parts["production"], PALETTE[0]),
            Layer("backfill that was useful", parts["backfill"], PALETTE[4], HATCHES[2]),
            Layer("backfill that was lost", wasted, PALETTE[5], HATCHES[4]),
            Layer("idle", np.maximum(100 - used, 0.0), IDLE),
        ]
        stack(panel, run, [layer for layer in found if layer.name == "production" or layer.values.any()], per)
        panel.set_ylim(0, 100)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("% of what nodes offer")
    legend(figure, axes, 5)
    return figure


def evictions(runs: Runs) -> Figure | None:
    """Replicas of fillers that ended before their time, by cause."""
    if not any(run.evictions for run in runs):
        return None
    figure, axes = panels(runs, height=2.2)
    per = scale(runs)
    causes = sorted({cause for run in runs for cause in run.evictions})
    for panel, run in zip(axes[0], runs, strict=True):
        hours = np.maximum(np.diff(edges(run, len(run.moves))), 1e-9) / HOUR_S
        none: Array = np.zeros(len(run.moves))
        layers = [
            Layer(
                cause, np.array(run.evictions.get(cause, none)) / hours, PALETTE[at % len(PALETTE)],
                HATCHES[at % len(HATCHES)],
            )
            for at, cause in enumerate(causes)
        ]  # fmt: skip
        stack(panel, run, layers, per)
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("replicas an hour")
    legend(figure, axes)
    return figure


def delays(runs: Runs) -> Figure | None:
    """Waits of production with and without fillers; and how much longer each job waited."""
    measured = [(at, run, run.delay) for at, run in enumerate(runs) if run.delay is not None]
    if not measured:
        return None
    figure = Figure(figsize=(9.0 if len(runs) == 1 else 12.0, 2.8), layout="constrained")
    waits, longer = figure.subplots(1, 2)
    for at, run, cost in measured:
        name = f"{named(runs, at)}, " if len(runs) > 1 else ""
        (colour, stroke), (other, dots) = LINES[at], WITHOUT[at]
        exceeding(waits, run.waits, 0.0, f"{name}with fillers", color=colour, linestyle=stroke)
        exceeding(waits, cost.waits, 0.0, f"{name}without", color=other, linestyle=dots)
        least = min(0.0, cost.longer[0][0]) if cost.longer else 0.0
        exceeding(longer, cost.longer, least, f"{name}with fillers", color=colour, linestyle=stroke)
    widely(waits, [value for _, run, cost in measured for value, _ in (*run.waits, *cost.waits)], 0.0)
    _around_zero(longer, [value for _, _, cost in measured for value, _ in cost.longer])
    waits.set_xlabel("wait (s)")
    waits.set_ylabel("part of all that waits longer")
    longer.set_xlabel("longer with fillers (s); below 0: shorter")
    longer.set_ylabel("part that waits longer by more")
    legend(figure, [[waits]])
    return figure


def head_room(runs: Runs) -> Figure | None:
    """Cores that fillers kept free, beside those that were idle."""
    if not any(run.kept for run in runs):
        return None
    figure, axes = panels(runs)
    per = scale(runs)
    names = sorted({name for run in runs for name in run.kept})
    for panel, run in zip(axes[0], runs, strict=True):
        kinds = ("production", "lost", "backfill", "backfill lost")
        used = sum((summed(run, kind, list(run.cores)) for kind in kinds), np.zeros(len(run.moves)))
        idle = np.maximum(offered(run, list(run.cores)) - sum(run.foreign.values()) - used, 0.0)
        stack(panel, run, [Layer("idle", idle, IDLE)], per)
        at_s = np.append(np.array(run.looks_s), run.until_s) / per.unit_s
        for at, name in enumerate(names):
            if cores := run.kept.get(name):
                panel.step(
                    at_s, [*cores, cores[-1]], where="post", label=f"kept free by {name}",
                    color=PALETTE[at % 7], linestyle=STROKES[at % len(STROKES)], linewidth=1.2,
                )  # fmt: skip
        panel.set_xlabel(per.name)
    axes[0][0].set_ylabel("cores")
    legend(figure, axes)
    return figure


def _around_zero(axes: Axes, values: Sequence[float]) -> None:
    """An axis of differences, by powers of ten on both sides of zero."""
    least, most = min(values, default=0.0), max(values, default=0.0)
    powers = [10.0**power for power in range(1, 8)]
    axes.set_xscale("symlog", linthresh=10.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+,.0f}" if value else "0"))
    axes.set_xticks([*(-one for one in powers if least <= -one), 0.0, *(one for one in powers if one <= 2 * most)])
    axes.set_xlim(min(1.2 * least, -5.0), max(1.2 * most, 20.0))
    axes.set_ylim(bottom=0)
    axes.axvline(0.0, color="black", linewidth=0.8)


def _any_fillers(runs: Runs) -> bool:
    return any(run.fillers for run in runs)
