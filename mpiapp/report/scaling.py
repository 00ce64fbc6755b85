"""Strong and weak scaling of several jobs: throughput, speed-up and efficiency."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..files.results import open_results, readable
from .figures import BLUE, GREY, legend, panels, save
from .text import lay_out, number, text

SPENT = ("scan", "measure", "write", "dispatch", "idle")


@dataclass(frozen=True)
class Scaling:
    """One file: how many runs how many workers did in how long.

    `seconds` is the time between the end of the start-up and the end of the
    job, summed over the jobs of the file; `imbalance` is the longest time that
    a worker was busy over the mean.
    """

    name: str
    workers: int
    runs: int
    seconds: float
    startup: float
    imbalance: float
    engine: str = ""
    machine: str = ""

    @property
    def throughput(self) -> float:
        """Runs per second."""
        return self.runs / self.seconds

    @classmethod
    def of(cls, name: str, ranks: np.ndarray, engine: str = "", machine: str = "") -> list[Scaling]:
        """From /ranks; nothing if no job ended in order, or its jobs had different workers."""
        jobs = [ranks[ranks["job"] == job] for job in np.unique(ranks["job"])]
        workers = [own[own["rank"] > 0] if len(own) > 1 else own for own in jobs]
        if len({len(members) for members in workers}) != 1:
            return []
        seconds = sum(float(sum(own[what] for what in SPENT).max()) for own in jobs)
        busy = np.sum([members["measure"] for members in workers], axis=0)
        runs = int(sum(members["runs"].sum() for members in workers))
        if not runs or not seconds:
            return []
        return [
            cls(
                name,
                len(workers[0]),
                runs,
                seconds,
                max(float(own["startup"].max()) for own in jobs),
                float(busy.max() / busy.mean()),
                engine,
                machine,
            )
        ]


def scaling_of(paths: Sequence[str | Path]) -> list[Scaling]:
    """The complete files, fewest workers first."""
    found = []
    for path in paths:
        with open_results(path) as results, readable(results.path, "/jobs, column ranks"):
            jobs, engines = results.table("jobs"), results.rows("runs", 0, 1, ["engine"])
            ranks = json.loads(jobs[0]["ranks"]) if len(jobs) else []
            engine = text(engines["engine"][0]) if len(engines) else ""
            machine = ", ".join(sorted({str(rank["cpu"]) for rank in ranks}))
            found += Scaling.of(Path(path).name, results.table("ranks"), engine, machine)
    return sorted(found, key=lambda s: s.workers)


def no_scaling(scaling: Sequence[Scaling]) -> str:
    """Why files tell nothing of how more workers do; empty if they tell."""
    if len({s.workers for s in scaling}) < 2:
        return "scaling needs complete files of different numbers of workers"
    if len(engines := {s.engine for s in scaling}) > 1:
        return f"no scaling: the files are of different engines, {', '.join(sorted(engines))}"
    if kind(scaling) == "mixed":
        return "no scaling: the files did different work, which does not grow with the workers"
    return ""


def efficiency(scaling: Sequence[Scaling]) -> list[float]:
    """Throughput per worker over the throughput per worker of the fewest workers.

    The same figure for the same work on more workers (strong scaling) and for
    work that grows with them (weak scaling).
    """
    base = min(scaling, key=lambda s: s.workers)
    return [s.throughput / s.workers / (base.throughput / base.workers) for s in scaling]


def kind(scaling: Sequence[Scaling]) -> str:
    """ "strong" if all did the same work, "weak" if it grew with the workers, else "mixed"."""
    if len({s.runs for s in scaling}) == 1:
        return "strong"
    shares = [s.runs / s.workers for s in scaling]
    return "weak" if max(shares) <= 1.1 * min(shares) else "mixed"


def scaling_table(scaling: Sequence[Scaling]) -> str:
    """One row per file, fewest workers first."""
    scaling = sorted(scaling, key=lambda s: s.workers)
    rows = [
        (s.name, kind(scaling), s.workers, s.runs, number(s.seconds, 3), number(s.throughput, 3),
         f"{e * s.workers / scaling[0].workers:.2f}", f"{100 * e:.0f}", f"{s.imbalance:.2f}",
         number(s.startup, 3))
        for s, e in zip(scaling, efficiency(scaling))
    ]  # fmt: skip
    names = (
        "File", "Scaling", "Workers", "Runs", "Time (s)", "Runs/s", "Speed-up", "Efficiency (%)",
        "Slowest/mean", "Start-up (s)",
    )  # fmt: skip
    return lay_out(Table(rows=rows, names=names))


def plot_scaling(scaling: Sequence[Scaling], folder: str | Path) -> Path:
    """Speed-up and efficiency over the number of workers, as scaling.png in `folder`.

    Numbers stand on the axes for the workers that were measured, fewer where they would touch.

    Raises InputError if matplotlib is not installed (extra `plot`).
    """
    scaling = sorted(scaling, key=lambda s: s.workers)
    workers = np.array([s.workers for s in scaling])
    ratio = np.array(efficiency(scaling))
    figure, ((left, right),) = panels(2)
    ideal = workers / workers[0]
    left.plot(workers, ideal, "--", color=GREY, label="ideal")
    left.plot(workers, ratio * ideal, "o-", color=BLUE, label="measured")
    unit = "1 worker" if workers[0] == 1 else f"{workers[0]} workers"
    left.set(xscale="log", yscale="log", ylabel=f"speed-up over {unit}")
    ticks = _apart([*ideal, *(ratio * ideal)[ratio * ideal < 0.9]])
    left.set_yticks(ticks, [f"{n:.2g}" for n in ticks])
    legend(left)
    right.axhline(100, ls="--", color=GREY)
    right.plot(workers, 100 * ratio, "o-", color=BLUE)
    right.set(xscale="log", ylabel="efficiency (%)", ylim=(0, 105 * max(1, ratio.max())))
    for axes in (left, right):
        axes.set_xlabel("workers")
        axes.set_xticks(_apart(workers), [f"{n:.0f}" for n in _apart(workers)])
        axes.minorticks_off()
    figure.suptitle(_title(scaling), fontsize=8)
    return save(figure, Path(folder) / "scaling.png")


def _title(scaling: Sequence[Scaling]) -> str:
    if kind(scaling) == "strong":
        what = f"Strong scaling: the same {scaling[0].runs} runs by more workers"
    else:
        runs = scaling[0].runs / scaling[0].workers
        what = f"Weak scaling: about {runs:.0f} runs for each worker"
    machines = "; ".join(sorted({s.machine for s in scaling} - {""}))
    return "\n".join(filter(None, (f"{what}, engine {scaling[0].engine}", machines)))


def _apart(values: Sequence[float]) -> list[float]:
    """The values of a logarithmic axis that can be labelled: a factor of 1.2 apart."""
    kept: list[float] = []
    for value in sorted({float(value) for value in values}):
        if not kept or value >= 1.2 * kept[-1]:
            kept.append(value)
    return kept
