"""The engine exact against 10⁵ draws of pymc3 or pymc, or 10⁷ of gibbs, problem by problem.

For each the largest difference of a mode or bound, in half-widths of the 68 % interval and in
units of its error, which is the noise of the draws and that of the marginals together.  Where
the two decide differently for an upper limit, modes alone are compared.

    PYTHONPATH=tests python tests/benchmarks/bench_agreement.py [--problems 20] [--draws 100000]

and for gibbs `--engine gibbs --draws 1000000 --repeats 10`.  With `--mended` pymc3's NUTS is
corrected first: it adds to the momenta of a trajectory in place, under a name that the two checks
for a turn within it take for those of its older half, so that whether a trajectory ends depends on
the side to which it grew last.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import tempfile
import textwrap

import numpy as np
from problems import simulated

from mpiapp.engines import create
from mpiapp.parallel import compiledir
from mpiapp.posterior import Smoothing

SMALL = ((1, 1), (2, 1), (3, 1), (2, 2))
SHAPES = {
    "pymc3": SMALL,
    "pymc": SMALL,
    "gibbs": ((1, 1), (2, 1), (3, 1), (2, 5), (5, 1), (3, 5), (1, 20)),
}


def mend():
    """Have pymc3's trees leave the sum of the momenta of the older half as it was."""
    from pymc3.step_methods.hmc import nuts

    source = textwrap.dedent(inspect.getsource(nuts._Tree.extend))
    wrong, right = "self.p_sum[:] += tree.p_sum", "self.p_sum = self.p_sum + tree.p_sum"
    assert wrong in source
    exec(source.replace(wrong, right), vars(nuts))
    nuts._Tree.extend = nuts.extend


def compare(p, exact, drawer, repeats):
    """(largest difference in half-widths, in its error, decisions that differ) of some sets."""
    ours = exact.sample(p, np.random.SeedSequence(0))
    found = [[] for _ in range(p.n_sources)]
    for seed in range(repeats):
        drawn = drawer.sample(p, np.random.SeedSequence(seed))
        for j in range(p.n_sources):
            found[j].append(drawn.summary(j, Smoothing()))
    differences, errors, decided = [], [], 0
    for j, others in enumerate(found):
        one = ours.summary(j, Smoothing())
        half = 0.5 * (one.hilim - one.lolim)
        alike = [s for s in others if s.is_upper_limit == one.is_upper_limit]
        decided += len(others) - len(alike)
        names, others = ("mode", "lolim", "hilim"), alike
        if len(alike) < repeats:
            names, others = ("mode",), found[j]
        values = np.array([[getattr(s, n) for n in names] for s in others])
        mine = np.array([getattr(one, n) for n in names])
        difference = np.abs(values.mean(axis=0) - mine).max() / half
        noise = np.mean([s.noise for s in others]) / np.sqrt(len(others))
        differences.append(difference)
        errors.append(difference / np.hypot(one.noise, noise))
    return max(differences), max(errors), decided


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--engine", choices=SHAPES, default="pymc3")
    parser.add_argument("--draws", type=int, default=100_000, help="of a set")
    parser.add_argument("--repeats", type=int, default=1, help="sets of draws")
    parser.add_argument("--mended", action="store_true", help="correct pymc3's NUTS first")
    options = parser.parse_args()
    compiledir.claim(0, tempfile.mkdtemp(prefix="mpiapp-bench-"))
    if options.mended:
        mend()
    logging.getLogger("pymc3").setLevel(logging.ERROR)
    exact = create("exact")
    if options.engine.startswith("pymc"):
        drawer = create(options.engine, draws=options.draws // 2)
    else:
        drawer = create("gibbs", draws=options.draws // 16, max_draws=options.draws // 16)
    print("| sources × obsids, blend, counts | difference | in its error | decisions that differ |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(1)
    for i in range(options.problems):
        n, m = SHAPES[options.engine][i % len(SHAPES[options.engine])]
        source = rng.choice([0.0, 2.0, 10.0, 100.0], size=n)
        blend = float(rng.choice([0.0, 0.3, 0.8]))
        p = simulated(n, m, source, 0.1, rng, blend=blend)
        p.upper[:] = np.append(np.full(n, 1e4), np.full(m, 10.0))
        difference, error, decided = compare(p, exact, drawer, options.repeats)
        name = f"{n} × {m}, {blend:g}, {', '.join(f'{s:g}' for s in source)}"
        print(f"| {name} | {difference:.4f} | {error:.1f} | {decided} |", flush=True)


if __name__ == "__main__":
    main()
