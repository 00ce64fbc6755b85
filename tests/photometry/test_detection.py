"""Detection limits and the chance of no source: aplimits' examples, closed forms, simulation."""

from dataclasses import replace

import numpy as np
import pytest
from problems import matrix, problem
from scipy import stats

from mpiapp.catalog.assemble import assemble_unnamed
from mpiapp.catalog.bundle import KNOWN
from mpiapp.catalog.problem import Problem
from mpiapp.photometry.detection import Detection, WithoutSource, own_apertures


def without(p, source=0):
    return WithoutSource(p, source, own_apertures(p)[source])


def alone(counts, background, ratio, response=1.0):
    """A source whose background aperture is `ratio` times as large as its own."""
    return Problem.of([counts, background], [[response, 1.0], [0.0, ratio]], 1, "cnts")


def known(counts, expected, response=1.0):
    """A source whose background is known."""
    frozen = alone(counts, 0, 1.0, response).with_frozen_backgrounds()
    return replace(frozen, offset=np.array([expected, expected]))


@pytest.mark.parametrize(
    ("p", "false_alarm", "limit", "threshold"),
    [
        (known(0, 1.23), 0.05, 2.44206, 3),
        (alone(0, 5, 4.065), 0.1, 2.2316, 3),
        (known(0, 0.34), 0.05, 1.338348, 1),
    ],
)
def test_limits_are_those_of_the_examples_in_the_help_of_aplimits(p, false_alarm, limit, threshold):
    """`ahelp aplimits` of CIAO; the second is integrated by 1000 trapezoids there."""
    found = without(p)
    assert found.threshold(false_alarm) == threshold
    assert found.limit(Detection(false_alarm, 0.5)) == pytest.approx(limit, rel=3e-5)


@pytest.mark.parametrize("expected", [0.0, 0.01, 0.7, 3.0, 40.0, 5000.0])
@pytest.mark.parametrize(("false_alarm", "power"), [(0.1, 0.5), (0.003, 0.5), (1e-6, 0.95)])
def test_a_known_background_gives_the_poisson_limits_of_kashyap(expected, false_alarm, power):
    """Threshold and limit by Poisson's distribution function, of a source seen by 0.8."""
    found = without(known(3, expected, response=0.8))
    threshold = int(stats.poisson.isf(false_alarm, expected))
    assert found.threshold(false_alarm) == threshold
    limit = found.limit(Detection(false_alarm, power))
    assert stats.poisson.sf(threshold, expected + 0.8 * limit) == pytest.approx(power, abs=1e-8)


def test_no_limit_is_negative():
    """Where the background alone is a detection often enough."""
    assert without(known(3, 3.0)).limit(Detection(0.9, 0.1)) == 0.0


@pytest.mark.parametrize(
    ("counts", "background", "ratio"),
    [(1, 0, 20.0), (3, 0, 20.0), (4, 5, 4.0), (20, 692, 60.0), (60, 692, 60.0), (500, 20000, 50.0)],
)
def test_the_chance_of_no_source_is_that_of_the_binomial_test(counts, background, ratio):
    """Weisskopf et al. (2007) and ACIS Extract: so many of all counts fall into its aperture."""
    share = 1.0 / (1.0 + ratio)
    expected = stats.binom.sf(counts - 1, counts + background, share)
    assert without(alone(counts, background, ratio)).chance == pytest.approx(expected, rel=1e-6)


def test_without_counts_it_is_certain():
    assert without(alone(0, 3, 5.0)).chance == 1.0


@pytest.mark.parametrize(
    ("backgrounds", "accuracy"), [((3, 8), 2e-5), ((0, 0), 2e-5), ((4, 0, 11, 2, 7), 5e-3)]
)
def test_several_obsids_add_their_backgrounds(backgrounds, accuracy):
    """The sum of independent negative binomial counts, by convolution."""
    n = len(backgrounds)
    ratios = np.linspace(3.0, 9.0, n)
    F = np.zeros((2 * n, 1 + n))
    F[::2, 0] = 0.9
    F[np.arange(0, 2 * n, 2), 1 + np.arange(n)] = 1.0
    F[np.arange(1, 2 * n, 2), 1 + np.arange(n)] = ratios
    x = np.arange(400)
    sums = np.ones(1)
    for background, ratio in zip(backgrounds, ratios):
        sums = np.convolve(
            sums, np.exp(stats.nbinom.logpmf(x, background + 1, ratio / (1 + ratio)))
        )
    for counts in (2, 9):
        C = np.zeros(2 * n, int)
        C[0], C[1::2] = counts, backgrounds
        found = without(problem(C, F, 1, np.full(1 + n, 1e6)))
        assert found.chance == pytest.approx(sums[counts:].sum(), rel=accuracy)
        tail = sums[::-1].cumsum()[::-1]
        assert found.threshold(0.01) == int(np.argmax(tail <= 0.01)) - 1


@pytest.fixture(scope="module")
def simulated():
    """A blended pair with few counts, and skies from flat priors with its other apertures' data.

    Of the skies (s, b) drawn those whose simulated counts in the neighbour's aperture and in the
    background's are the observed ones; and the counts expected from each in the source's aperture.
    """
    rng = np.random.default_rng(20)
    F = matrix(2, 1, blend=0.4, background_area=60.0)
    neighbour, background = 4, 6
    s, b = rng.uniform(0.0, 25.0, 3_000_000), rng.uniform(0.0, 0.4, 3_000_000)
    same = rng.poisson(F[1, 1] * s + F[1, 2] * b) == neighbour
    s, b = s[same], b[same]
    same = rng.poisson(F[2, 1] * s + F[2, 2] * b) == background
    expected = F[0, 1] * s[same] + F[0, 2] * b[same]
    assert len(expected) > 5_000
    return F, (neighbour, background), expected, rng


@pytest.mark.parametrize("counts", [2, 4, 8])
def test_in_a_bundle_the_chance_is_that_of_simulated_skies_without_the_source(simulated, counts):
    F, others, expected, rng = simulated
    found = without(problem([counts, *others], F, 2, [1e6, 1e6, 1e6])).chance
    share = (rng.poisson(expected) >= counts).mean()
    assert abs(share - found) < 4 * np.sqrt(found * (1 - found) / len(expected))


def test_in_a_bundle_a_source_at_the_limit_is_detected_with_the_power(simulated):
    F, others, expected, rng = simulated
    found = without(problem([2, *others], F, 2, [1e6, 1e6, 1e6]))
    threshold, limit = found.threshold(0.02), found.limit(Detection(0.02, 0.9))
    alarms = (rng.poisson(expected) > threshold).mean()
    assert alarms < 0.02 + 4 * np.sqrt(0.02 * 0.98 / len(expected))
    seen = (rng.poisson(expected + F[0, 0] * limit) > threshold).mean()
    assert abs(seen - 0.9) < 4 * np.sqrt(0.9 * 0.1 / len(expected))


def test_apertures_are_told_by_what_they_hold_together():
    """Of source 1 its neighbour's aperture holds more than its own; obsid 1 misses source 0."""
    F = np.array([
        [0.9, 0.5, 10, 0], [0.05, 0.3, 4, 0], [0.01, 0.02, 400, 0],
        [0, 0.8, 0, 12], [0, 0.02, 0, 400],
    ])  # fmt: skip
    p = Problem.of([30, 9, 40, 20, 30], F, 2, "cnts")
    assert [rows.tolist() for rows in own_apertures(p)] == [[0], [1, 3]]


def test_the_unit_is_that_of_the_intensity():
    """Exposures of 10⁹ make 10⁻⁹ of a limit in counts, and the same chance."""
    C, F = [9, 30, 40, 7, 20, 50], matrix(2, 2)
    counts, fluxes = (without(problem(C, F * unit, 2, np.full(4, 1e6))) for unit in (1.0, 1e9))
    assert fluxes.limit(Detection()) * 1e9 == pytest.approx(counts.limit(Detection()), rel=1e-6)
    assert fluxes.chance == pytest.approx(counts.chance, rel=1e-6)


def test_a_gamma_prior_of_a_neighbour_counts_as_an_epoch_that_sees_it_alone(simulated):
    """α − 1 counts with exposure β; that of the source itself says nothing of skies without it."""
    F, others, *_ = simulated
    p = problem([4, *others], F, 2, [1e6, 1e6, 1e6])
    gamma = np.array([[30.0, 2.0], [6.0, 0.5], [0.0, 0.0]])
    prior = without(replace(p, gamma=gamma))
    epoch = replace(
        p, counts=np.append(6, p.counts), F=np.vstack([[0.0, 0.5, 0.0], F]),
        row_obsid=np.zeros(4, int), offset=np.zeros(4),
    )  # fmt: skip
    found = WithoutSource(epoch, 0, np.array([1]))
    assert prior.chance == pytest.approx(found.chance, rel=1e-9)
    assert prior.chance > without(p).chance


def test_what_tells_nothing_of_its_apertures_is_left_out():
    """A far source with a background of its own: the numbers to the last digit."""
    near = problem([4, 3, 30], matrix(2, 1), 2, np.full(3, 1e6))
    F = np.zeros((5, 5))
    F[:3, [0, 1, 3]], F[3:, [2, 4]] = matrix(2, 1), matrix(1, 1)
    far = Problem.of([4, 3, 30, 70, 60], F, 3, "cnts")
    assert without(far).chance == without(near).chance


@pytest.mark.parametrize("error", [0.0, 0.1, 0.7])
def test_a_background_of_a_map_is_poisson_or_with_an_error_negative_binomial(error):
    """APE_POIS of eROSITA; an error makes of μ a Gamma variate of that relative rms."""
    counts, F = np.array([[4, KNOWN]]), np.array([[[0.9, 1.23], [0.0, error]]])
    p = assemble_unnamed([counts], [F], np.array([[1e6, 10.0]]))[0]
    expected = stats.poisson.sf(3, 1.23)
    if error:
        expected = stats.nbinom.sf(3, error**-2, 1 / (1 + 1.23 * error**2))
    assert without(p).chance == pytest.approx(expected, rel=1e-6)
