"""Problems of one shape in arrays are the problems that are assembled one by one."""

import numpy as np
import pytest
from problems import matrix, problem, simulated

from mpiapp.catalog.assemble import assemble
from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.stack import Stack

FLUX = Matrix("b", "aper", "flux")


def bundles(rng, n_obsids):
    return [
        Bundle(
            ObsidBundle("S", str(k), "b1"),
            "ACIS",
            ("r1",),
            {("b", "aper"): rng.integers(0, 50, 2)},
            {FLUX: rng.uniform(0.1, 9.0, (2, 2))},
        )
        for k in range(n_obsids)
    ]


@pytest.mark.parametrize("n_obsids", [1, 4])
def test_a_stack_is_assembled_as_each_problem_is(n_obsids):
    rng = np.random.default_rng(n_obsids)
    seen = [bundles(rng, n_obsids) for _ in range(3)]
    expected = Stack.of([assemble(one, FLUX) for one in seen])
    stack = Stack.assemble(
        np.array([[b.counts["b", "aper"] for b in one] for one in seen]),
        np.array([[b.F[FLUX] for b in one] for one in seen]),
        expected.upper,
    )
    assert stack.n_obsids == n_obsids
    assert len(stack) == 3
    for name in Stack._fields:
        np.testing.assert_array_equal(getattr(stack, name), getattr(expected, name))


def test_what_does_not_fit_into_a_stack_is_refused():
    two = problem([1, 2, 3], matrix(2, 1), 2, [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="one source"):
        Stack.of([two])
    one = simulated(1, 1, 1.0, 1.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="one source"):
        Stack.of([one.with_frozen_backgrounds()])
