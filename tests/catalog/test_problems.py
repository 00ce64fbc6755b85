"""A batch holds problems of one shape, and gives each of them back."""

from dataclasses import fields, replace

import numpy as np
import pytest
from problems import matrix, problem, simulated

from mpiapp.catalog.problem import Problem
from mpiapp.catalog.problems import Problems


def some(n_sources, n_obsids, number=3):
    rng = np.random.default_rng(n_sources + n_obsids)
    return [simulated(n_sources, n_obsids, 9.0, 0.5, rng) for _ in range(number)]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_batch_gives_its_problems_back(frozen):
    problems = [replace(p, reported=("r2", "r0")) for p in some(3, 2)]
    if frozen:
        problems = [p.with_frozen_backgrounds() for p in problems]
    batch = Problems.of(problems)
    assert len(batch) == 3 and (batch.n_sources, batch.n_obsids) == (3, 2)
    for i, p in enumerate(problems):
        found = replace(batch[i], reported=p.reported)
        assert batch[i].wanted == p.wanted == [0, 2]
        for field in fields(Problem):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(p, field.name))


def test_problems_of_other_shapes_are_refused():
    two = problem([1, 2, 3], matrix(2, 1), 2, [1.0, 1.0, 1.0])
    (one,) = some(1, 1, 1)
    others = [two, one.with_frozen_backgrounds(), replace(two, reported=("r0",))]
    for first, other in ((one, others[0]), (one, others[1]), (two, others[2])):
        with pytest.raises(ValueError, match="one shape"):
            Problems.of([first, other])
