"""How charts look: colours that colour-blind people tell apart, hatches for print, axes of time, layers over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from federator.simulator.record import Points, Record

Array = NDArray[np.float64]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's colours, the last for what is left."""
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "--", "ooo", "")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.4,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "federator",
}
LINES = (("#0072B2", "-"), ("#D55E00", "--"))
"""Of the first run and of the second."""
MOST_LAYERS = 7
MOST_STEPS = 200
UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (2 * 60.0, 60.0, "minutes"))


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of a stack: its name, averages over the spans of its run, and how it is filled."""

    name: str
    values: Array
    colour: str
    hatch: str = ""


def panels(runs: Sequence[Record], rows: int = 1, height: float = 2.6) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a column for each run, its axes by row; those of a row share their scale."""
    width = 9.0 if len(runs) == 1 else 12.0
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, len(runs), squeeze=False, sharey="row")
    for column, run in enumerate(runs):
        if len(runs) > 1:
            axes[0][column].set_title(f"{'AB'[column]}: {run.name}", loc="left", fontweight="bold")
    return figure, [list(row) for row in axes]


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis of time that all runs share: its unit in seconds, what that is called, and where it ends, in seconds."""

    unit_s: float
    name: str
    until_s: float

    def on(self, axes: Axes) -> None:
        """Make it the axis of a panel."""
        axes.set_xlim(0, self.until_s / self.unit_s)


def scale(runs: Sequence[Record]) -> Scale:
    """In the unit in which the longest of the runs is best read."""
    longest_s = max(run.until_s for run in runs)
    found = ((unit_s, name) for least_s, unit_s, name in UNITS if longest_s >= least_s)
    return Scale(*next(found, (1.0, "seconds")), longest_s)


def edges(run: Record, spans: int) -> Array:
    """Where spans begin, and where the last ends, in seconds."""
    found: Array = np.minimum(np.arange(spans + 1, dtype=np.float64) * run.span_s, run.until_s)
    return found


def coarser(run: Record, values: Array) -> tuple[Array, Array]:
    """Averages over fewer spans, where there are too many to be drawn: edges in seconds, and averages."""
    ends = edges(run, len(values))
    step = -(-len(values) // MOST_STEPS)
    lengths = np.maximum(np.diff(ends), 1e-9)
    firsts = np.arange(0, len(values), step)
    sums = np.add.reduceat(values * lengths, firsts)
    return np.append(ends[firsts], ends[-1]), sums / np.add.reduceat(lengths, firsts)


def stack(axes: Axes, run: Record, layers: Sequence[Layer], per: Scale) -> None:
    """Layers upon each other."""
    base: Array | None = None
    for layer in layers:
        at_s, values = coarser(run, layer.values)
        base = np.zeros(len(values)) if base is None else base
        top = base + values
        axes.fill_between(
            at_s / per.unit_s, np.append(base, base[-1]), np.append(top, top[-1]), step="post", label=layer.name,
            facecolor=layer.colour, hatch=layer.hatch, edgecolor="white", linewidth=0.0,
        )  # fmt: skip
        base = top
    per.on(axes)


def steps(axes: Axes, run: Record, values: Array, per: Scale, **how: Any) -> None:
    """A line of averages over time."""
    at_s, coarse = coarser(run, values)
    axes.step(at_s / per.unit_s, np.append(coarse, coarse[-1]), where="post", **how)


def legend(figure: Figure, axes: Sequence[Sequence[Axes]], columns: int = 4) -> None:
    """One legend for all panels, above them; and all panels begin at zero, now that all is drawn."""
    for row in axes:
        row[0].set_ylim(bottom=0)
    found: dict[str, Any] = {}
    for panel in (one for row in axes for one in row):
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=min(columns, len(found)))


def summed(run: Record, kind: str, names: Sequence[str]) -> Array:
    """The values of a kind over time, of all these names together."""
    series = run.series.get(kind, {})
    found = np.zeros(len(run.moves))
    for name in names:
        if name in series:
            found = found + np.array(series[name])
    return found


def largest(runs: Sequence[Record], kind: str) -> tuple[list[str], bool]:
    """The names of a kind with most of it in all runs, largest first; and whether there are others."""
    weights: dict[str, float] = {}
    for run in runs:
        for name, values in run.series.get(kind, {}).items():
            weights[name] = weights.get(name, 0.0) + sum(values) * run.span_s
    ordered = sorted((name for name in weights if weights[name] > 0), key=lambda name: (-weights[name], name))
    return ordered[:MOST_LAYERS], len(ordered) > MOST_LAYERS


def layers(run: Record, kind: str, shown: Sequence[str], others: bool) -> list[Layer]:
    """A layer for each of these names, and one for all others."""
    found = [Layer(name, summed(run, kind, [name]), PALETTE[at], HATCHES[at]) for at, name in enumerate(shown)]
    if others:
        rest = [name for name in run.series.get(kind, {}) if name not in shown]
        found.append(Layer("all others", summed(run, kind, rest), PALETTE[-1]))
    return found


def exceeding(axes: Axes, points: Points, least: float, label: str, **how: Any) -> None:
    """The part of all values that exceeds each value, from the least there can be on."""
    values = [least, *(value for value, _ in points)]
    parts = [1.0 if points else 0.0, *(1.0 - part for _, part in points)]
    if len(points) > 1 and points[0][0] <= least:
        values, parts = values[1:], parts[1:]
    axes.step(values, parts, where="post", label=label, **how)


def widely(axes: Axes, values: Sequence[float], least: float) -> None:
    """An axis of values: by powers of ten where they span several."""
    most = max(values, default=least)
    if most > 20.0:
        axes.set_xscale("symlog", linthresh=max(least, 1.0), linscale=0.3)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xticks([tick for tick in (0.0, *(10.0**power for power in range(9))) if least <= tick <= 2 * most])
    axes.set_xlim(least, max(most * 1.02, least + 0.1))
    axes.set_ylim(bottom=0)


def look_of(at: int) -> dict[str, Any]:
    """How the line of the first run or of the second looks."""
    return dict(zip(("color", "linestyle"), LINES[at], strict=True))


def named(runs: Sequence[Record], at: int) -> str:
    """What a run is called in legends."""
    return f"{'AB'[at]}: {runs[at].name}" if len(runs) > 1 else runs[at].name


def offered(run: Record, names: Sequence[str]) -> Array:
    """Cores that the nodes of these clusters offer, over time."""
    return sum((np.array(run.cores[name]) for name in names), np.zeros(len(run.moves)))
