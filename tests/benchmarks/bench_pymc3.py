"""Time per run of the pymc3 engine, warm, beside the memo's recipe, in turns.

    python tests/benchmarks/bench_pymc3.py [rounds]

Both draw 2 chains of 1000 after 1000 tuning steps.  Only the ratios say
something: the three recipes take turns on the same problem, and each cell is
the median of its rounds.
"""

import logging
import sys
import time
import warnings

import numpy as np

from mpiapp.catalog.problem import Problem
from mpiapp.catalog.quantities import QUANTITIES
from mpiapp.engines.pymc3_nuts import Pymc3Engine
from mpiapp.engines.settings import INITS
from mpiapp.parallel import compiledir
from mpiapp.posterior.diagnostics import rhat_and_ess


def mock_problem(n_sources, n_obsids, seed=0):
    """Photon fluxes of some 20 counts a source and obsid, 5 % of each PSF in every other aperture.

    Exposures differ by a factor 2; 0.6 background counts in a source's aperture.
    """
    rng = np.random.default_rng(seed)
    priors = QUANTITIES["photflux"]
    n_rows = (n_sources + 1) * n_obsids
    F = np.zeros((n_rows, n_sources + n_obsids))
    for obsid, exposure in enumerate(1e7 * rng.uniform(1, 2, n_obsids)):
        rows = slice(obsid * (n_sources + 1), (obsid + 1) * (n_sources + 1))
        F[rows, :n_sources] = 0.05 * exposure
        F[rows, :n_sources][np.diag_indices(n_sources)] = 0.9 * exposure
        F[rows, n_sources + obsid] = exposure * np.append(np.full(n_sources, 300.0), 20_000.0)
    theta = np.append(np.full(n_sources, 1.5e-6), np.full(n_obsids, 1.3e-10))
    return Problem(
        counts=rng.poisson(F @ theta),
        F=F,
        upper=np.repeat([priors.source_upper, priors.background_upper], [n_sources, n_obsids]),
        sources=tuple(f"source {i}" for i in range(n_sources)),
        backgrounds=tuple(f"obsid {i}" for i in range(n_obsids)),
        row_obsid=np.repeat(np.arange(n_obsids), n_sources + 1),
        offset=np.zeros(n_rows),
    )


def main(rounds=5):
    """Print the table."""
    compiledir.claim()
    start = time.perf_counter()
    engines = {init: Pymc3Engine(init=init) for init in INITS}
    engines["advi+adapt_diag"].warm()
    print(f"import and compilation from an empty directory: {time.perf_counter() - start:.0f} s")
    import memo_recipe

    logging.getLogger("pymc3").setLevel(logging.ERROR)
    recipes = {"memo": lambda problem, seed: memo_recipe.sample(problem, seed)}
    for init, engine in engines.items():
        recipes[init] = lambda problem, seed, engine=engine: engine.sample(problem, seed).values
    print(f"{'sources x obsids':18}{'recipe':18}{'s per run':>10}{'ratio':>8}{'smallest ESS':>14}")
    for shape in ((1, 1), (2, 5)):
        problem = mock_problem(*shape)
        seconds = {name: [] for name in recipes}
        ess = {name: [] for name in recipes}
        for round_number in range(rounds + 1):
            seed = np.random.SeedSequence(round_number)
            for name, recipe in recipes.items():
                start = time.perf_counter()
                values = recipe(problem, seed)
                seconds[name].append(time.perf_counter() - start)
                ess[name].append(rhat_and_ess(values)[1].min())
        for name in recipes:
            # The first round compiles.
            each = np.median(seconds[name][1:])
            ratio = each / np.median(seconds["memo"][1:])
            label = f"{shape[0]} x {shape[1]}"
            print(f"{label:18}{name:18}{each:10.2f}{ratio:8.2f}{min(ess[name][1:]):14.0f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*map(int, sys.argv[1:]))
