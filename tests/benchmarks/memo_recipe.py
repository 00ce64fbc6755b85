"""The memo's recipe (Listings 1 and 3): a new pymc3 model for every run, and pm.sample on it.

The yardstick of bench_pymc3.py and of the engine's tests, not used by mpiapp.
"""

import numpy as np
import pymc3 as pm


def sample(problem, seed, chains=2):
    """(chains, 1000, n_columns) draws of `problem`, sources and backgrounds in turn.

    Beside the listings: one process, as under MPI; a seed; two chains
    (recommendation 4).  The trace is pymc3's default, an NDArray of its own for
    each chain: with cores=1 pymc3 would append the second chain of a db passed
    as `trace` to the first.
    """
    n = problem.n_sources
    n_backgrounds = len(problem.backgrounds)
    with pm.Model():
        s = pm.Uniform("s", lower=0.0, upper=problem.upper[:n], shape=(n,))
        columns = [s[i] for i in range(n)]
        if n_backgrounds:
            b = pm.Uniform("b", lower=0.0, upper=problem.upper[n:], shape=(n_backgrounds,))
            columns += [b[j] for j in range(n_backgrounds)]
        mu = problem.offset
        for theta, column in zip(columns, problem.F.T):
            mu = mu + theta * column
        pm.Poisson("C_obs", mu=mu, observed=problem.counts)
        trace = pm.sample(
            1000,
            tune=1000,
            target_accept=0.95,
            init="advi+adapt_diag",
            chains=chains,
            cores=1,
            random_seed=int(seed.generate_state(1)[0] >> 2),
            progressbar=False,
            return_inferencedata=False,
        )
    names = ["s", "b"] if n_backgrounds else ["s"]
    return np.concatenate(
        [np.stack(trace.get_values(name, combine=False)) for name in names], axis=2
    )
