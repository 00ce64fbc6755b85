"""Problems of one shape in arrays are the problems that are assembled one by one."""

import numpy as np
import pytest
from problems import matrix, problem, simulated

from mpiapp.catalog.assemble import assemble
from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.stack import Stack

FLUX = Matrix("b", "aper", "flux")


def bundles(rng, components):
    return [
        Bundle(
            ObsidBundle("S", str(k), "b1"),
            "ACIS",
            names,
            {("b", "aper"): rng.integers(0, 50, len(names) + 1)},
            {FLUX: rng.uniform(0.1, 9.0, (len(names) + 1, len(names) + 1))},
        )
        for k, names in enumerate(components)
    ]


@pytest.mark.parametrize(
    ("components", "columns"),
    [
        ([("r1",)], [(0,)]),
        ([("r1",)] * 4, [(0,)] * 4),
        ([("r1", "r2", "r3"), ("r3",), ("r1", "r3")], [(0, 1, 2), (2,), (0, 2)]),
    ],
)
def test_a_stack_is_assembled_as_each_problem_is(components, columns):
    rng = np.random.default_rng(len(components))
    seen = [bundles(rng, components) for _ in range(3)]
    expected = Stack.of([assemble(one, FLUX) for one in seen])
    parts = [
        (
            np.array([one[k].counts["b", "aper"] for one in seen]),
            np.array([one[k].F[FLUX] for one in seen]),
            columns[k],
        )
        for k in range(len(components))
    ]
    stack = Stack.assemble(parts, expected.upper)
    assert stack.n_obsids == len(components)
    assert stack.n_sources == 1 + max(map(max, columns))
    assert len(stack) == 3
    for name in Stack._fields:
        np.testing.assert_array_equal(getattr(stack, name), getattr(expected, name))


def test_what_does_not_fit_into_a_stack_is_refused():
    two = problem([1, 2, 3], matrix(2, 1), 2, [1.0, 1.0, 1.0])
    one = simulated(1, 1, 1.0, 1.0, np.random.default_rng(0))
    for problems in ([one, two], [one.with_frozen_backgrounds()]):
        with pytest.raises(ValueError, match="one shape"):
            Stack.of(problems)
