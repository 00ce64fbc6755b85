"""Where the chains of NUTS start."""

import numpy as np
import pytest

from mpiapp.engines.nuts import start_from_maximum_likelihood

one_source = pytest.importorskip("posteriors").one_source


def test_maximum_likelihood_start_solves_equation_8_inside_the_box():
    problem = one_source(90, 900)
    start = start_from_maximum_likelihood(problem)
    theta = problem.upper / (1 + np.exp(-start))
    np.testing.assert_allclose(problem.F @ theta, problem.counts, rtol=1e-9)
    # A negative solution starts at one count, one above the box at 0.9 of it.
    negative = one_source(0, 900)
    theta = negative.upper / (1 + np.exp(-start_from_maximum_likelihood(negative)))
    assert theta[0] * negative.F[:, 0].sum() == pytest.approx(1.0)
    above = one_source(90, 900, upper=(1e-9, 1e-6))
    theta = above.upper / (1 + np.exp(-start_from_maximum_likelihood(above)))
    assert theta[0] == pytest.approx(0.9e-9)
