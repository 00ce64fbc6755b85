"""Problems of every shape for tests and benchmarks."""

from __future__ import annotations

import numpy as np

from mpiapp.catalog.problem import Problem


def matrix(n_sources, n_obsids, *, blend=0.3, background_area=200.0, wings=0.05, rng=None):
    """F for sources of which each aperture holds 0.9, and `blend` times that of every other one.

    Source intensities are counts at unit exposure and backgrounds counts per
    pixel, with apertures of 10 pixels.  Exposures vary by three if rng is given.
    """
    rows = n_sources + 1
    F = np.zeros((rows * n_obsids, n_sources + n_obsids))
    psf = np.where(np.eye(n_sources, dtype=bool), 0.9, 0.9 * blend)
    for k in range(n_obsids):
        exposure = 1.0 if rng is None else rng.uniform(0.3, 1.0)
        block = slice(k * rows, (k + 1) * rows)
        F[block, :n_sources] = exposure * np.vstack([psf, np.full(n_sources, wings)])
        F[block, n_sources + k] = exposure * np.append(np.full(n_sources, 10.0), background_area)
    return F


def problem(counts, F, n_sources, upper, offset=None):
    """A Problem with labels made up."""
    n_obsids = F.shape[1] - n_sources
    rows = n_sources + 1
    return Problem(
        counts=np.asarray(counts, dtype=np.int64),
        F=np.ascontiguousarray(F),
        upper=np.asarray(upper, dtype=float),
        sources=tuple(f"r{i}" for i in range(n_sources)),
        backgrounds=tuple(f"o{k}" for k in range(n_obsids)),
        row_obsid=np.repeat(np.arange(n_obsids), rows),
        offset=np.zeros(len(counts)) if offset is None else np.asarray(offset, dtype=float),
    )


def simulated(n_sources, n_obsids, source, background, rng, **options):
    """Counts drawn for sources and backgrounds of the given intensities; priors far above."""
    F = matrix(n_sources, n_obsids, rng=rng, **options)
    theta = np.append(
        np.broadcast_to(source, n_sources), np.broadcast_to(background, n_obsids)
    ).astype(float)
    upper = np.append(np.full(n_sources, 1e8), np.full(n_obsids, 1e6))
    return problem(rng.poisson(F @ theta), F, n_sources, upper)
