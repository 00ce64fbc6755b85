"""`mpiapp timing`: time per run by machine and type of stack, laid out as the memo's Table 4."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..files.results import open_results
from ..files.schema import PHASES
from .text import lay_out, number, text


def timing_tables(paths: Sequence[str | Path]) -> str:
    """Table 4 of all the files together, and the mean time per run of each phase."""
    groups: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    jobs = []
    for path in paths:
        with open_results(path) as results:
            runs = results.table("runs")
            jobs += [(Path(path).name, row) for row in results.table("jobs")]
        kind = np.where(runs["n_obsids"] > 1, "multi-obsid", "single-obsid")
        for host in np.unique(runs["host"]):
            for engine in np.unique(runs["engine"]):
                for k in np.unique(kind):
                    chosen = (runs["host"] == host) & (runs["engine"] == engine) & (kind == k)
                    if chosen.any():
                        groups[text(host), text(engine), str(k)].append(runs[chosen])
    main, phases = [], []
    for (host, engine, kind), parts in sorted(groups.items()):
        runs = np.concatenate(parts)
        low, middle, high = np.percentile(runs["seconds"], [25, 50, 75])
        main.append(
            (host, engine, kind, len(runs), *(number(v, 3) for v in (
                runs["seconds"].mean(), low, middle, high)))
        )  # fmt: skip
        phases.append((host, engine, kind, *(number(runs[p].mean(), 3) for p in PHASES)))
    names = ("Machine", "Engine", "Type of Stack")
    table = Table(
        rows=main,
        names=(*names, "Number of Runs", "Time per Run (s)", "25 %", "median", "75 %"),
    )
    detail = Table(rows=phases, names=(*names, *PHASES))
    return (
        f"{lay_out(table)}\n\nMean seconds per run in each phase\n{lay_out(detail)}\n\n"
        f"{_jobs_table(jobs)}"
    )


def _jobs_table(jobs: list[tuple[str, np.void]]) -> str:
    rows = []
    for name, job in jobs:
        ranks = json.loads(job["ranks"])
        hosts = sorted({rank["host"] for rank in ranks})
        cpu = ranks[0]["cpu"] if ranks else ""
        rows.append(
            (name, len(ranks), ", ".join(hosts), cpu, number(job["wall_seconds"], 3),
             job["exit_reason"] or "killed")
        )  # fmt: skip
    return lay_out(
        Table(rows=rows, names=("File", "Ranks", "Hosts", "CPU", "Wall time (s)", "Ended"))
    )
