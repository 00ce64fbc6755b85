"""The report of `mpiapp verify`: Table 3s and figures from the results files in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.outcome import Flag
from ..catalog.problem import Problem
from ..catalog.runs import RunKey
from ..config import Config
from ..engines.get_draws import prior_range
from ..files.replacing import replacing
from ..files.results import open_results
from ..report.compare import Comparison, compare, formatted, table_3, worst_table, write_table
from ..report.figures import comparison_figures, save
from ..report.matching import Side, open_side
from ..report.rerun import assembled, job_config
from ..report.text import text
from ..report.timing import timing_tables
from ..simulate import simulate
from . import studies
from .samples import SAMPLES
from .truth import BRIGHT, pulls, pulls_row, truth_of

STUDY_DETECTIONS = 400
VERIFIED = ("get_draws", "pymc3", "pymc", "gibbs", "exact")
PAIRS = (
    ("pymc3", "get_draws"),
    ("pymc", "pymc3"),
    ("gibbs", "pymc3"),
    ("exact", "pymc3"),
    ("gibbs", "pymc"),
    ("exact", "pymc"),
)
PICTURED = ("sample3", "sample4", "sample7")
_FLUX_UNITS = {"flux": "energy flux", "photflux": "photon flux", "rate": "count rate",
               "cnts": "net counts"}  # fmt: skip


def write_report(folder: Path, out: Path) -> Path:
    """Compare every two engines that are there, run the studies, write `verification.md`.

    `folder` has the inputs and results; the report, its tables and its figures go to `out`.
    """
    parts = [
        "# Verification",
        "Made by `mpiapp verify`; the numbers and figures come from its results files.",
        *_samples_section(),
    ]
    done = {name: folder / f"{name}.h5" for name in VERIFIED}
    done = {name: path for name, path in done.items() if path.exists()}
    parts += _jobs_section(done)
    for ours, reference in PAIRS:
        if ours in done and reference in done:
            parts += _comparison_section(out, ours, reference, done)
    parts += _truth_section(folder, done)
    parts += _studies_section(folder, out)
    return write_markdown(out / "verification.md", parts)


def _samples_section() -> list[str]:
    """Table 2: the samples and their sizes in the memo."""
    rows = [(f"{n.removeprefix('sample')}", s.level, s.title, s.memo_size)
            for n, s in SAMPLES.items()]  # fmt: skip
    table = Table(rows=rows, names=("Sample", "Level", "Like the memo's", "Memo's size"))
    said = (
        "The ten samples of the memo's Table 2, simulated with known truth "
        "(`mpiapp simulate --preset sample1` and so on)."
    )
    return ["## Samples", said, markdown(table)]


def _jobs_section(done: dict[str, Path]) -> list[str]:
    if not done:
        return []
    with open_results(next(iter(done.values()))) as results:
        job = results.table("jobs")[0]
    versions = json.loads(job["versions"])
    shown = ", ".join(f"{k} {v}" for k, v in versions.items() if isinstance(v, str) and v)
    times = timing_tables(list(done.values()))
    return ["## Time per run", f"{shown}.", f"```text\n{times}\n```"]


def _comparison_section(out: Path, ours: str, reference: str, done) -> list[str]:
    found = list(compare_samples(done[ours], done[reference]))
    table = table_3(found, by=("level", "quantity"))
    name = f"{ours}_{reference}"
    for suffix in (".ecsv", ".tex"):
        write_table(table, out / "tables" / f"table3_{name}{suffix}")
    figures = []
    for c in found:
        if c.sample in PICTURED:
            figures += comparison_figures(c, out / "figures" / name, (ours, reference))
    parts = [
        f"## {ours} against {reference}",
        "*f* is the distance of Eqs. 9 and 10, in half-widths of the reference. *Reference* counts "
        f"what {reference} has a result for.",
        markdown(formatted(table)),
    ]
    if ours == "pymc3":
        parts += ["The memo's own Table 3, on samples of the real catalog:", markdown(memo_table())]
    far = worst_table(found, above=1.0)
    if len(far):
        far["explanation"] = explained(found, done[reference])
        parts += ["The largest *f* above 1:", markdown(far)]
    else:
        parts.append("No *f* is above 1.")
    return parts + pictures(figures, out)


def _truth_section(folder: Path, done: dict[str, Path]) -> list[str]:
    """Every engine against the truth of the samples, which no two engines can have wrong alike."""
    truths = {
        name: truth_of(folder / "inputs" / name, sample.level) for name, sample in SAMPLES.items()
    }
    rows = []
    for engine, path in done.items():
        with open_side(path) as side:
            for name, sample in SAMPLES.items():
                chunks = list(_part(side, sample.preset.prefix).chunks())
                for quantity, found in pulls(np.concatenate(chunks), truths[name]).items():
                    rows.append((engine, name, sample.level, quantity, *pulls_row(found)))
    names = ("Engine", "Sample", "Level", "Quantity", "Measured", "Pull mean", "Pull σ",
             "Truth in 68 %", "Limits", "Truth below limit")  # fmt: skip
    return [
        "## Against the truth",
        "A *pull* is (mode - truth) / rms, whose mean is -1/(2 √counts) and whose spread is 1.  Of "
        f"measured sources with a truth of more than {BRIGHT:g} times its scatter, and of all "
        "upper limits, for sources that do not vary and without net counts of several obsids.  A "
        "Gaussian's interval, widened by the smoothing, holds 72.5 %.  Errors allow for the "
        "events that bands, apertures and neighbours share.",
        markdown(Table(rows=rows or None, names=names)),
    ]


def explained(found: list[Comparison], reference: Path) -> list[str]:
    """Why each f above 1 is so large, as far as the reference's own problem tells."""
    with open_results(reference) as results:
        config = job_config(results)
    far = [w for c in found for w in c.worst[c.worst["f"] > 1]]
    keys = [RunKey(*(text(w[name]) for name in RunKey._fields)) for w in far]
    problems = {key: p for key, p in assembled(config) if key in keys}
    why = []
    for w, key in zip(far, keys):
        problem = problems[key]
        source = problem.sources.index(text(w["component"]))
        best, _ = problem.maximum_likelihood()
        is_get_draws = config.engine.name == "get_draws"
        if is_get_draws and best[source] <= 0:
            why.append("its maximum-likelihood solution is negative: 5-σ prior cut short (2.3)")
        elif is_get_draws and w["reference_hilim"] > 0.98 * prior_range(problem)[1][source]:
            why.append("its bounds reach the end of its 5-σ prior, which lies below these (2.3)")
        elif w["reference_flags"] & (Flag.UNCONVERGED | Flag.LOW_ESS):
            why.append("the reference's chain did not mix")
        else:
            why.append("")
    return why


def compare_samples(side: Path, reference: Path) -> Iterator[Comparison]:
    """Compare two results files sample by sample; of the NULL-like ones only the successes."""
    with open_side(side) as a, open_side(reference) as b:
        for name, sample in SAMPLES.items():
            prefix = sample.preset.prefix
            found = compare(_part(a, prefix), _part(b, prefix), name)
            if sample.is_null_like:
                # their reference values mean nothing (section 3.2)
                found.f = {group: f[:0] for group, f in found.f.items()}
                found.worst = found.worst[:0]
            yield found


def _part(side: Side, prefix: str) -> Side:
    """The rows of one sample: those whose target begins with its prefix."""
    start = prefix.encode()

    def chunks():
        for rows in side.chunks():
            yield rows[np.char.startswith(rows["target"], start)]

    return Side(side.path, sum(len(rows) for rows in chunks()), chunks)


def memo_table() -> Table:
    """The memo's Table 3."""
    rows = []
    for name, sample in SAMPLES.items():
        for quantity, bands, success, total, mean, median, f99, percent in sample.memo:
            numbers = ["N/A" if v is None else f"{v:g}" for v in (mean, median, f99)]
            below = "N/A" if percent is None else f"{percent:.1f}%"
            rows.append((name, _FLUX_UNITS[quantity], ",".join(sorted(bands)),
                         f"{success}/{total}", *numbers, below))  # fmt: skip
    names = ("Sample", "Flux Units", "Energy Band", "N_success/N_total", "f mean", "f median",
             "f 99 %", "% f <= 1")  # fmt: skip
    return Table(rows=rows, names=names)


def _studies_section(folder: Path, out: Path) -> list[str]:
    """Figures 1, 3, 5 and 6, calibration and coverage."""
    null, low, limits = (_problems(folder, n) for n in ("sample1", "sample2", "sample4"))
    made = {
        "Priors (Figure 1)": ("figure1", studies.priors(null, "flux")),
        "Background expansion (Figure 3)": ("figure3", studies.expanded_backgrounds(low, "flux")),
        "Frozen backgrounds (Figure 5)": ("figure5", studies.frozen_backgrounds(limits, "flux")),
        "A pegged background (Figure 6)": ("figure6", studies.pegged_background(limits[0], "flux")),
        "Calibration and coverage": ("calibration", studies.calibration(limits)),
    }
    parts = ["## Studies", "Drawn with the compiled engine."]
    for title, (name, study) in made.items():
        path = save(study.figure, out / "figures" / f"{name}.png")
        parts += [f"### {title}", study.text, *pictures([path], out)]
    return parts


def _problems(folder: Path, name: str) -> list[Problem]:
    """Single-source problems of a larger catalog like one of the samples."""
    out = folder / "inputs" / f"studies_{name}"
    if not out.exists():
        simulate(out, STUDY_DETECTIONS, 1, name)
    config = Config.model_validate(
        {
            "input": [{"prep3": str(out / "prep3"), "levels": ["obsid"]}],
            "output": {"results": str(folder / "unused.h5")},
        }
    )
    return [problem for _, problem in assembled(config) if problem.n_sources == 1]


def markdown(table: Table) -> str:
    """A table in Markdown."""
    rows = [table.colnames, ["---"] * len(table.colnames)]
    rows += [[str(v).replace("|", r"\|") for v in row] for row in table]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def pictures(paths: list[Path], folder: Path) -> list[str]:
    """Figures in Markdown, of a page in a folder."""
    return [f"![{path.stem}]({path.relative_to(folder)})" for path in paths]


def write_markdown(path: Path, parts: list[str]) -> Path:
    """Write headings, paragraphs and tables with empty lines between them; returns the path."""
    with replacing(path) as new:
        new.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path
