"""The report as one HTML page that needs nothing else: charts as SVG within it, tables, and how it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version

from federator.simulator.record import Record
from federator.simulator.report.charts import Chart
from federator.simulator.report.tables import Cell, Table

SHOWN_ROWS = 20
"""Of a longer table so many rows are shown at once, and all when it is opened."""

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 1150px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin: 2em 0 .2em; }
p { margin: .3em 0 .8em; max-width: 60em; } .small { color: #555; font-size: .9em; max-width: none; }
svg { max-width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87em; margin: .4em 0; }
th, td { padding: .22em .8em .22em 0; text-align: right; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 2px solid #999; vertical-align: bottom; font-weight: 600; }
th.text, td.text { text-align: left; } td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { overflow-wrap: break-word; min-width: 5em; max-width: 40em; }
details { margin: .3em 0; } summary { cursor: pointer; color: #0055aa; }
nav a { margin-right: 1em; color: #0055aa; display: inline-block; }
section { break-inside: avoid; } h2, section > p { break-after: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } nav { display: none; } .wide { overflow: visible; }
  section.long { break-inside: auto; } @page { size: A4 landscape; margin: 12mm; } }
"""


def page(runs: Sequence[Record], drawn: Iterable[tuple[Chart, str]], tables: Iterable[Table]) -> str:
    """The page. ``drawn``: the charts, each as an SVG document."""
    title = " and ".join(run.name for run in runs)
    sections = [(chart.name, chart.title, chart.words, _inline(svg, chart.title)) for chart, svg in drawn]
    told = [(table.name, table.title, table.words, _table(table)) for table in tables]
    parts = [*told[:1], *sections, *told[1:]]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _, _ in parts)
    body = "".join(
        f'<section id="{name}" class="{"long" if "<table" in inner else "chart"}"><h2>{escape(heading)}</h2>'
        f"<p>{_words(words)}</p>{inner}</section>\n"
        for name, heading, words, inner in parts
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"{''.join(map(_about, runs))}<nav>{links}</nav>\n{body}"
        f'<p class="small">federator {version("federator")}</p></body></html>\n'
    )


def _about(run: Record) -> str:
    jobs, engine = run.figures["jobs"], run.figures["engine"]
    asked = f"the planner was asked {len(run.looks_s):,} times what is refused and why"
    how = f"told by the shortcut for one pool ({asked})" if run.quick else f"{engine['plans']:,} plans"
    words = (
        f"{run.name}: seed {run.figures['seed']}, {jobs['submitted']:,} jobs in {run.until_s:,.0f} s of simulated "
        f"time, {how}. Values over time are averages over {run.span_s:g} s or more."
    )
    return f'<p class="small">{escape(words)}</p>'


def _inline(svg: str, title: str) -> str:
    """An SVG document as part of a page: without its head, and without names that nothing refers to."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    referred = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w-]+)"', lambda found: found[0] if found[1] in referred else "", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def _table(table: Table) -> str:
    if len(table.rows) <= SHOWN_ROWS + 3:
        return f'<div class="wide">{_rows(table, table.rows)}</div>'
    rest = f"<details><summary>All {len(table.rows)} rows</summary>{_rows(table, table.rows)}</details>"
    return f'<div class="wide">{_rows(table, table.rows[:SHOWN_ROWS])}{rest}</div>'


def _rows(table: Table, rows: Sequence[Sequence[Cell]]) -> str:
    texts = [any(isinstance(row[at], str) for row in table.rows) for at in range(len(table.columns))]
    head = "".join(
        f'<th class="{"text" if text else "number"}">{escape(name)}</th>'
        for name, text in zip(table.columns, texts, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{"text" if text else "number"}">{escape(shown(cell))}</td>'
            for cell, text in zip(row, texts, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def shown(cell: Cell) -> str:
    """A cell for people: numbers with at most four digits behind the point, and commas before it."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or cell == int(cell):
        return f"{cell:,.0f}"
    return f"{cell:,.1f}" if abs(cell) >= 1000 else f"{cell:.4g}"


def _words(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
