"""How many ranks a job is worth: costs measured here, and a simulation of the scheduler with them.

    export OMP_NUM_THREADS=1 PYTHONPATH=tests
    python tests/benchmarks/bench_many_ranks.py [--figure FILE] [--folder DIR]

A survey of `mpiapp simulate` is measured by real jobs in one process and on two and three ranks;
the parts of rank 0 (messages, unpickling, rows to disk, planning, making parcels) are timed one by
one.  `scheduler` then simulates the job.  First it is held against the real jobs; then
it is asked about copies of the survey on many ranks, as one job and as shards that are merged.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import numpy as np
from jobs import environment, mpiexec
from scheduler import Costs, Work, predict

from mpiapp.config import load
from mpiapp.engines.pymc3_nuts import Pymc3Engine
from mpiapp.files.merge import merge
from mpiapp.files.packed_runs import pack
from mpiapp.files.results import open_results
from mpiapp.files.writer import Writer
from mpiapp.parallel.planning import find_inputs
from mpiapp.parallel.scanning import scan_here
from mpiapp.parallel.shares import parcels
from mpiapp.parallel.worker import Worker
from mpiapp.parallel.world import connect
from mpiapp.photometry.outcome import unplanned
from mpiapp.report.cost_model import CostModel
from mpiapp.report.figures import BLUE, GREY, ORANGE, legend, name_panel, panels, save
from mpiapp.report.text import duration, number

# Of a survey of 103,864 runs: 10⁸ runs, and 10⁷ where each is a parcel or so by itself.
COPIES = {"exact": 963, "pymc3": 96}
RANKS = (8, 16, 32, 64, 256, 1024, 10_000)
ASKED = (8, 64, 1024, 10_000)
SHARDS = (4, 16, 64)
TIMES = 3  # of which the fastest counts, since others may use the machine
ASKED_HEAD = "| engine | ranks | one job | efficiency | rank 0 | before | shards | apart | merged |"
VALIDATED = (
    "| engine | ranks | runs | core time: `plan`, s | real | | wall: simulated | real | "
    "| with the real core time | |"
)
STYLES = {"one job": ("o-", BLUE), "shards": ("s--", ORANGE), "shards and merge": ("^:", GREY)}
# Processor seconds of runs with pymc3 by tests/benchmarks/bench_engines.py: 1.38 of one source in
# one obsid, 2.08 of two in five; a line in the number of columns.  Assumed: how they scatter, and
# what a worker compiles at the first problem of a number of columns.
PYMC3 = CostModel(np.arange(1, 31), 1.10 + 0.14 * np.arange(1, 31), np.full(30, 0.14))
SPREAD, COMPILING = 0.3, 10.0


def cpu_seconds(function, times: int = 3) -> float:
    """Processor time of a call: the least of some, since others may use the machine."""
    spent = []
    for _ in range(times):
        t0 = time.process_time()
        function()
        spent.append(time.process_time() - t0)
    return min(spent)


def echo(n_bytes: int) -> bytes:
    """Called on a worker."""
    return bytes(n_bytes)


def messages() -> None:
    """Rank 0 of two: processor seconds of a small message and of a byte."""
    world = connect()
    with world.executor() as executor:
        if world.rank:
            return
        spent = []
        for size, calls in ((1, 2000), (10**6, 200)):
            for _ in executor.map(echo, [size] * 20):
                pass
            t0 = time.process_time()
            for _ in executor.map(echo, [size] * calls):
                pass
            spent.append((time.process_time() - t0) / calls)
        print(spent[0] / 2.0, (spent[1] - spent[0]) / 10**6)


def measured_messages() -> tuple[float, float]:
    command = [mpiexec(), "-n", "2", sys.executable, __file__, "messages"]
    done = subprocess.run(command, check=True, env=environment(), capture_output=True, text=True)
    return tuple(map(float, done.stdout.split()))


def run(config: Path, out: Path, ranks: int) -> None:
    """A real job, unless its results are there."""
    if out.exists():
        return
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-m", "mpiapp", "run", config]
    subprocess.run(
        [*command, "--output", out], check=True, env=environment(), stderr=subprocess.DEVNULL
    )


def unhindered(config: Path, folder: Path, name: str) -> Work:
    """The work with times as if nobody else used the machine: processor times of a serial job."""
    out, kept = folder / f"{name}_serial.h5", folder / f"{name}_serial.txt"
    if not kept.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "mpiapp", "run", config, "--output", out]
        subprocess.run(command, check=True, env=environment(), stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        kept.write_text(str(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    with open_results(out) as results:
        share = float(kept.read_text()) / results.table("jobs")["wall_seconds"][0]
    return prepare(config, out)[0].times(min(share, 1.0))


def measure_costs(work: Work, folder: Path, startup: float) -> Costs:
    """Time the parts one by one, in this process, with the rows of a part of the survey."""
    config, plan = work.config, work.plan(1)
    n_files, paths = len(work.scanned), list(work.scanned)
    scan = cpu_seconds(lambda: scan_here(paths)) / n_files
    blob = pickle.dumps(list(work.scanned.values()))
    scanned = cpu_seconds(lambda: pickle.loads(blob)) / n_files
    planning = cpu_seconds(lambda: work.plan(1)) / plan.n_runs

    def payloads():
        for parcel in parcels(work.plan(1).units, 8, plan.parcel_cost):
            pickle.dumps([target for unit in parcel for target in unit.targets()])

    targets = [target for unit in plan.units for target in unit.targets()]
    making = (cpu_seconds(payloads) - planning * plan.n_runs) / len(targets)

    engine = config.engine.create()
    worker = Worker(engine, config.policy(), config.seed)
    some = [t for t in targets if t.level == "obsid"][:300]
    reading = time.process_time()
    for files in {part.files for t in some for part in t.parts}:
        worker._files.get(files)
    reading = time.process_time() - reading
    files = len({part.files for t in some for part in t.parts})
    whole = cpu_seconds(lambda: worker.measure(some))
    alone = cpu_seconds(lambda: [worker.measure([t]) for t in some])
    loose = [worker.measure(targets[k::16]) for k in range(16)]
    n = sum(batch.n_runs for batch in loose)
    blocks = [pack(batch, loose=unplanned(batch.runs["outcome"])) for batch in loose]
    packing = cpu_seconds(lambda: pickle.dumps([pack(batch) for batch in loose], protocol=5)) / n
    sent, sent_loose = pickle.dumps(blocks, protocol=5), pickle.dumps(loose, protocol=5)

    def write(batches, flush_runs):
        """(processor time, waiting, processor time of publishing)"""
        for name in ("rows.h5", "rows.final.h5"):
            (folder / name).unlink(missing_ok=True)
        writer = Writer(folder / "rows.h5", batch_runs=flush_runs)
        t0, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            writer.append(batch)
        writer.flush()
        wall, cpu = time.perf_counter() - t0, time.process_time() - cpu
        t0 = time.process_time()
        writer.publish(folder / "rows.final.h5")
        return cpu, wall - cpu, time.process_time() - t0

    # A flush for each of the sixteen, or one for all.
    each, once, apart = (
        np.min([write(batches, runs) for k in range(5)], axis=0)
        for batches, runs in ((blocks, 1), (blocks, 2 * n), (loose, 2 * n))
    )
    flush, sync = np.maximum(each - once, 0.0)[:2] / 15.0
    row, row_loose = ((spent[0] - flush) / n for spent in (once, apart))
    futures = [Future() for _ in range(10_000)]
    futures[0].set_result(None)
    looked = cpu_seconds(lambda: wait(futures, 1.0, FIRST_COMPLETED)) / len(futures)
    message, byte = measured_messages()
    return Costs(
        startup=startup,
        scan=scan,
        read=reading / files,
        parcel=max(alone - whole, 0.0) / (len(some) - 1),
        pack=packing,
        scanned=scanned,
        plan=planning,
        make=max(making, 0.0),
        message=message,
        byte=byte,
        unpack=cpu_seconds(lambda: pickle.loads(sent)) / n,
        unpack_loose=cpu_seconds(lambda: pickle.loads(sent_loose)) / n,
        row=row,
        row_loose=row_loose,
        flush=flush,
        sync=sync,
        future=looked,
        publish=once[2] / n,
        merge=0.0,
        run_bytes=len(sent) / n,
    )


def prepare(config: Path, results: Path) -> tuple[Work, float]:
    """The work of a configuration, and the start-up, from the results of a job on two ranks."""
    loaded = load(config)
    engine = loaded.engine.create()
    files = find_inputs(loaded)
    scanned = {file.path: file for found in files for file in scan_here(found.prep3)}
    with open_results(results) as opened:
        model = CostModel.fit(opened, engine.name)
        runs, ranks = opened.table("runs"), opened.table("ranks")
    beside = runs["read"] + runs["compile"]
    planned = float(runs["seconds"].sum(dtype=float))
    rest = 1.0 - float(beside.sum(dtype=float)) / planned
    model = model._replace(base=rest * model.base, slope=rest * model.slope)
    said = np.array([model.seconds(n, m) for n, m in zip(runs["n_sources"], runs["n_obsids"])])
    compiling = runs["compile"][runs["compile"] > 0.1]
    work = Work(
        loaded,
        files,
        scanned,
        engine.typical_seconds,
        model,
        float(np.std((runs["seconds"] - beside) / said)) if engine.name == "pymc3" else 0.0,
        float(compiling.mean()) if len(compiling) else 0.0,
        planned,
    )
    return work, float(ranks["startup"].max())


def validate(name: str, config: Path, work: Work, c: Costs, folder: Path, times: int) -> None:
    """Real jobs on two and three ranks beside what was predicted of them."""
    c = c._replace(publish=0.0)  # the wall time in /jobs ends before
    for ranks in (2, 3):
        walls, busy = [], []
        for k in range(times):
            out = folder / f"{name}{ranks}_{k}.h5"
            run(config, out, ranks)
            with open_results(out) as results:
                table, jobs = results.table("ranks"), results.table("jobs")
            walls.append(jobs["wall_seconds"][0] - table["startup"].max())
            busy.append(table["measure"][table["rank"] > 0].sum())
        fastest = int(np.argmin(walls))
        wall, core = walls[fastest], busy[fastest]
        said = [
            predict(work.times(factor), c._replace(startup=0.0), ranks, 1).total
            for factor in (1.0, core / work.planned)
        ]
        shares = [
            f"{100 * (a / b - 1.0):+.0f} %"
            for a, b in zip((work.planned, *said), (core, wall, wall))
        ]
        print(
            f"| `{name}` | {ranks} | {work.plan(1).n_runs} | {work.planned:.1f} | {core:.1f} "
            f"| {shares[0]} | {said[0]:.1f} | {wall:.1f} | {shares[1]} | {said[1]:.1f} "
            f"| {shares[2]} |",
            flush=True,
        )


def ask(name: str, work: Work, c: Costs) -> dict[str, list[tuple[int, float]]]:
    """Efficiency of many runs on ranks, as one job and as the best number of shards; prints it."""
    curves: dict[str, list] = {name: [] for name in STYLES}
    for ranks in RANKS:
        one = predict(work, c, ranks, COPIES[name])
        curves["one job"].append((ranks, one.work / (ranks * one.total)))
        cells = [
            duration(one.total), f"{100 * one.work / (ranks * one.total):.0f} %",
            f"{100 * one.measure.rank0 / one.measure.seconds:.0f} %", duration(one.before),
        ]  # fmt: skip
        tried = [(predict(work, c, ranks, COPIES[name], n), n) for n in SHARDS if 4 * n <= ranks]
        if tried:
            best, n = min(tried, key=lambda each: each[0].total)
            apart = best.total - best.merging
            curves["shards"].append((ranks, best.work / (ranks * apart)))
            curves["shards and merge"].append((ranks, best.work / (ranks * best.total)))
            cells += [f"{n} × {ranks // n}", duration(apart), duration(best.total)]
        else:
            cells += ["–"] * 3
        if ranks in ASKED:
            print(f"| `{name}` | {ranks} | {' | '.join(cells)} |", flush=True)
    return curves


def draw(found: dict[str, dict[str, list]], path: Path) -> None:
    figure, (axes,) = panels(len(found))
    for each, (name, curves) in zip(axes, found.items()):
        for what, points in curves.items():
            style, color = STYLES[what]
            each.plot(*zip(*points), style, color=color, ms=4, label=what)
        each.set(xscale="log", ylim=(0, 1.05), xlabel="ranks", ylabel="efficiency")
        each.set_xticks(ASKED, [f"{ranks:,}" for ranks in ASKED])
        each.minorticks_off()
        name_panel(each, f"{name}, {COPIES[name] * 0.104:.0f} million runs")
    legend(axes[0], "upper right")
    save(figure, path)


def survey_job(folder: Path) -> Path:
    config = folder / "exact.toml"
    if not (folder / "survey").exists():
        command = [sys.executable, "-m", "mpiapp", "simulate", folder / "survey"]
        subprocess.run([*command, "--detections", "2000"], check=True)
    config.write_text(
        f"[[input]]\nprep3 = '{folder / 'survey/prep3'}'\nmst3 = '{folder / 'survey/mst3.fits'}'\n"
        f"[output]\nresults = '{folder / 'survey.h5'}'\n[engine]\nname = 'exact'\n"
    )
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--folder", type=Path, help="for the jobs, which it keeps")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        survey = survey_job(folder)
        quiet = unhindered(survey, folder, "exact")
        exact, startup = prepare(survey, folder / "exact_serial.h5")
        c = measure_costs(exact, folder, startup)
        shards = [folder / f"survey.shard{k}of2.h5" for k in (1, 2)]
        for k, shard in enumerate(shards, 1):
            command = [sys.executable, "-m", "mpiapp", "run", survey, "--shard", f"{k}/2"]
            if not shard.exists():
                subprocess.run(command, check=True, env=environment(), stderr=subprocess.DEVNULL)
        (folder / "merged.h5").unlink(missing_ok=True)
        t0 = time.process_time()
        merge(folder / "merged.h5", shards)
        c = c._replace(merge=(time.process_time() - t0) / exact.plan(1).n_runs)
        print("\n".join(f"{name:10} {number(value, 3)}" for name, value in c._asdict().items()))
        print(VALIDATED)
        validate("exact", survey, exact, c, folder, TIMES)
        work = {"exact": quiet}
        work["pymc3"] = exact._replace(
            typical=Pymc3Engine.typical_seconds, model=PYMC3, spread=SPREAD, compiling=COMPILING
        )
        (folder / "measured.pickle").write_bytes(pickle.dumps((work, c)))
        print(ASKED_HEAD)
        found = {name: ask(name, each, c) for name, each in work.items()}
    if args.figure:
        draw(found, args.figure)


if __name__ == "__main__":
    messages() if sys.argv[1:] == ["messages"] else main()
