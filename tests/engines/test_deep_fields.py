"""Clusters of many sources: what `exact` says of its noise, and where it puts the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.bench_deep_fields import answer, field

from mpiapp.engines import create, several_summary


def shifted(p, monkeypatch, repeats):
    """(repeats, n_sources, 4) numbers and noise with other lattices each time."""
    found = []
    for seed in range(repeats):
        monkeypatch.setattr(several_summary, "SHIFTS", np.random.SeedSequence(seed))
        # a new engine, since one that is used remembers its last problem
        numbers, method, is_flagged = answer(create("exact"), p, 0)
        assert (method, is_flagged) == ("quadrature", False)
        found.append(numbers)
    return np.array(found)


def half_widths(numbers):
    return 0.5 * (numbers[..., 2] - numbers[..., 1])


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "distance"), [((30, 1), 0.8), ((20, 5), 1.0)])
def test_noise_of_a_deep_field_is_beyond_its_spread_among_shifts(shape, distance, monkeypatch):
    numbers = shifted(field(*shape, distance), monkeypatch, 12)
    half = half_widths(numbers).mean(axis=0)
    spread = (numbers[:, :, :3].std(axis=0, ddof=1) / half[:, None]).max(axis=1)
    # 12 repeats give a spread to 21 %, 20 sources that of all to 5 %; it is meant to be twice
    # the spread, some of which is hidden since points are added until the repeats agree
    assert 1.0 < rms(numbers[:, :, 3]) / rms(spread) < 4.0
    assert numbers[:, :, 3].max() < 0.015


@pytest.mark.slow
def test_a_deep_field_agrees_with_draws():
    p = field(30, 1, 0.8)
    ours = answer(create("exact"), p, 0)[0]
    drawer = create("gibbs", ess_target=5000.0, max_draws=50_000)
    sets = np.array([answer(drawer, p, seed)[0] for seed in range(6)])
    half = half_widths(ours)[:, None]
    off = (sets[:, :, :3].mean(axis=0) - ours[:, :3]) / half
    error = np.hypot(sets[:, :, :3].std(axis=0, ddof=1) / half / np.sqrt(6.0), ours[:, 3:])
    # 30 sources with three numbers each, those of one tied: the ratio is 1 within 13 %
    assert rms(off) < 1.4 * rms(error)
    # so that this can fail: the draws tell a shift of a thirtieth of a half-width
    assert rms(error) < 0.02


@pytest.mark.slow
def test_a_master_source_of_a_hundred_obsids_is_as_accurate_as_asked_for():
    numbers, _, is_flagged = answer(create("exact"), field(20, 100, 0.8), 0)
    assert np.isfinite(numbers).all()
    assert not is_flagged
    assert numbers[:, 3].max() < 0.015
