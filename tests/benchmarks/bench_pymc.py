"""Processor time of the pymc engine beside that of the pymc3 engine, which needs another Python.

    .venv-current/bin/python tests/benchmarks/bench_pymc.py .venv/bin/python [rounds]

A process of each Python is started once, samples every problem once to compile,
and then they take turns, so that both meet the same load.  Both draw 2 chains of
1000 after 1000 tuning steps.  Each cell is the median of its rounds; only the
ratios say something.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SHAPES = ((1, 1), (2, 5))
PATHS = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1])))


def serve(name):
    """Answer each line "sources obsids seed" with processor seconds and smallest ESS."""
    from problems import simulated

    from mpiapp.engines import create
    from mpiapp.parallel import compiledir

    compiledir.claim()
    engine = create(name)
    for line in sys.stdin:
        n_sources, n_obsids, seed = map(int, line.split())
        problem = simulated(n_sources, n_obsids, 20.0, 0.06, np.random.default_rng(0))
        start = time.process_time()
        draws = engine.sample(problem, np.random.SeedSequence(seed))
        print("ANSWER", time.process_time() - start, draws.ess.min(), flush=True)


def ask(process, shape, seed):
    """(seconds, smallest ESS) of one run in a process that serves."""
    print(*shape, seed, file=process.stdin, flush=True)
    for line in process.stdout:
        if line.startswith("ANSWER"):
            return tuple(map(float, line.split()[1:]))
    raise RuntimeError("the process of an engine has ended: see above")


def main(other_python, rounds=10):
    """Print the table."""
    processes = {
        name: subprocess.Popen(
            [python, __file__, "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": PATHS},
        )
        for name, python in (("pymc", sys.executable), ("pymc3", other_python))
    }
    print(f"{'sources x obsids':18}{'pymc s':>9}{'ESS':>7}{'pymc3 s':>9}{'ESS':>7}{'ratio':>8}")
    for shape in SHAPES:
        for process in processes.values():
            ask(process, shape, 0)
        answers = {name: [] for name in processes}
        for seed in range(1, rounds + 1):
            for name, process in processes.items():
                answers[name].append(ask(process, shape, seed))
        (a, a_ess), (b, b_ess) = (np.median(answers[name], axis=0) for name in ("pymc", "pymc3"))
        label = f"{shape[0]} x {shape[1]}"
        print(f"{label:18}{a:9.3f}{a_ess:7.0f}{b:9.3f}{b_ess:7.0f}{a / b:8.3f}", flush=True)
    for process in processes.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
