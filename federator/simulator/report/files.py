"""Writes a report: the page, and if wanted every chart as SVG and PNG and every table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from federator.simulator.record import Record
from federator.simulator.report.charts import CHARTS
from federator.simulator.report.drawing import STYLE
from federator.simulator.report.page import page
from federator.simulator.report.tables import Table, tables

DPI = 150


def write_report(runs: Sequence[Record], to: Path | None, parts: Path | None = None) -> None:
    """Write the page of one run or two, and into the folder ``parts`` its charts and tables. Raises OSError."""
    told = tables(runs)
    if parts is not None:
        parts.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for chart in CHARTS:
            figure = chart.draw(runs)
            if figure is None:
                continue
            svg = _svg(figure)
            drawn.append((chart, svg))
            if parts is not None:
                (parts / f"{chart.name}.svg").write_text(svg, encoding="utf-8")
                figure.savefig(parts / f"{chart.name}.png", dpi=DPI, metadata={"Software": None})
    if parts is not None:
        for table in told:
            (parts / f"{table.name}.csv").write_text(_csv(table), encoding="utf-8", newline="")
    if to is not None:
        to.write_text(page(runs, drawn, told), encoding="utf-8")


def _svg(figure: Figure) -> str:
    into = io.BytesIO()
    figure.savefig(into, format="svg", metadata={"Date": None, "Creator": None})
    return into.getvalue().decode("utf-8")


def _csv(table: Table) -> str:
    into = io.StringIO()
    writer = csv.writer(into, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return into.getvalue()
