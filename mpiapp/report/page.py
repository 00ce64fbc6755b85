"""`mpiapp report`: what happened in a job as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

from astropy.table import Table

from ..files.replacing import replacing
from ..files.results import Results, readable
from . import page_figures as draw
from . import show
from .figures import STYLE
from .sample import of_targets
from .summary import Summary, summarize

_CSS = """\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
figure { margin: 1rem 0; } figcaption { opacity: 0.8; }
img { max-width: 100%; background: white; border-radius: 4px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 0.15rem 0.7rem; border-bottom: 1px solid #8884; text-align: left;
  white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; font-size: 12px; background: #8882; padding: 0.6rem; }
"""
_FIGURES = (
    ("How runs ended", "outcomes",
     "Runs by outcome in every band, in % of the number above each bar."),
    ("Values against counts", "values",
     "Each quantity against the net counts of the same source, level, band and aperture: a run "
     "far from the others has another exposure, or something is wrong with it."),
    ("Errors", "errors",
     "Half-widths of the 68 % bounds against net counts: near 1/√n in one obsid with little "
     "background, below it where several obsids share the counts. And what chance or quadrature "
     "leaves in the numbers, in units of those half-widths."),
    ("Convergence", "convergence",
     "Rank-normalised split r-hat and bulk effective sample size of every row that was drawn."),
    ("Time against size", "sizes",
     "Wall time of runs against the number of parameters of their problems."),
    ("Where the ranks' time went", "rank_times",
     "Rank 0 hands out the work and writes; the others measure."),
    ("Runs as time went by", "timeline",
     "Runs that ended in each interval: all together, and rank by rank."),
)  # fmt: skip


def write_page(results: Results, path: str | Path) -> Path:
    """Write the page of a results file, finished or not; memory does not grow with the file.

    Raises InputError if matplotlib is not installed.
    """
    done = summarize(results)
    rows, share = of_targets(results, "photometry")
    runs, runs_share = of_targets(results, "runs")
    figures = {
        "outcomes": draw.outcomes(done),
        "values": draw.values(rows),
        "errors": draw.errors(rows) if len(rows) else None,
        "convergence": draw.convergence(rows),
        "sizes": draw.sizes(runs),
        "rank_times": draw.rank_times(done.ranks),
        "timeline": draw.timeline(runs, runs_share),
    }
    name = Path(results.path).name
    body = [
        f"<h1>{html.escape(name)}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in show.head(results, done).splitlines()),
    ]
    for title, figure, words in _FIGURES:
        if figures[figure] is not None:
            if share < 1 and figure in ("values", "errors", "convergence", "sizes"):
                words += f" Drawn are {100 * share:.2g} % of the targets."
            body.append(f"<h2>{title}</h2>\n{figure_html(figures[figure], title, words)}")
        if figure == "outcomes":
            body += _outcomes(done)
    body += ["<h2>Slowest runs</h2>", f"<p>{html.escape(show.times(done))}</p>"]
    body.append(table_html(show.slowest_table(done)))
    body += ["<h2>Least converged</h2>", table_html(show.worst_table(done))]
    body += _provenance(results, done)
    path = Path(path)
    with replacing(path) as new:
        new.write_text(page_html(name, "\n".join(body)), encoding="utf-8")
    return path


def page_html(title: str, body: str) -> str:
    """A page that needs nothing but itself."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_CSS}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _outcomes(done: Summary) -> list[str]:
    parts = [table_html(show.runs_table(done.runs))]
    parts += [f"<p>{html.escape(line)}</p>" for line in show.flags(done).splitlines()]
    return [*parts, "<h2>Failures</h2>", f"<pre>{html.escape(show.failures(done))}</pre>"]


def figure_html(figure, title: str, words: str) -> str:
    """A figure inside of the page, with words below it."""
    from matplotlib import rc_context

    picture = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(picture, format="png", dpi=160)
    data = base64.b64encode(picture.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(title)}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{html.escape(words)}</figcaption></figure>"
    )


def table_html(table: Table) -> str:
    """A table that scrolls by itself where it is too wide."""
    if not len(table):
        return "<p>none</p>"
    numbers = [table[name].dtype.kind in "iuf" for name in table.colnames]
    rows = ["<tr>" + "".join(f"<th>{html.escape(n)}</th>" for n in table.colnames) + "</tr>"]
    for row in table.as_array().tolist():
        cells = (
            f"<td{' class=number' * is_number}>{html.escape(str(cell))}</td>"
            for cell, is_number in zip(row, numbers)
        )
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return '<div class="scroll"><table>\n' + "\n".join(rows) + "\n</table></div>"


def _provenance(results: Results, done: Summary) -> list[str]:
    """Command, versions and configuration of the last job."""
    if not len(done.jobs):
        return []
    job = done.jobs[-1]
    with readable(results.path, "/jobs, columns config and versions"):
        config, versions = (json.loads(job[name]) for name in ("config", "versions"))
    words = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        "<h2>Provenance of the last job</h2>",
        f"<pre>{html.escape(str(job['command']))}</pre>",
        f"<p>{html.escape(words)}</p>",
        "<details><summary>Configuration</summary>"
        f"<pre>{html.escape(json.dumps(config, indent=2))}</pre></details>",
    ]
