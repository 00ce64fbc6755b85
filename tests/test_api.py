"""The public face: what `import mpiapp` shows, and what `measure` takes and returns."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

import mpiapp
import mpiapp.photometry.ladder
from mpiapp import InputError, Outcome, Problem, measure

F = np.array([[0.9, 20.0], [0.05, 400.0]])
COUNTS = [25, 32]


def test_public_names_are_shown_and_there():
    assert set(mpiapp.__all__) == set(dir(mpiapp))
    for name in mpiapp.__all__:
        assert getattr(mpiapp, name).__doc__ or name == "__version__"
    with pytest.raises(AttributeError, match="nothing"):
        mpiapp.nothing  # noqa: B018


def test_a_unit_is_converted():
    (in_seconds,) = measure(COUNTS, F * 1e4, 1, "rate", engine="exact")
    (in_ks,) = measure(COUNTS * u.count, F * 10 * u.ks, 1, "rate", engine="exact")
    for name in ("value", "lolim", "hilim"):
        assert getattr(in_ks, name) == pytest.approx(getattr(in_seconds, name), rel=1e-9)


@pytest.mark.parametrize(
    ("counts", "matrix", "quantity", "said"),
    [
        (COUNTS, F * u.cm, "rate", "F: unit cm, expected s"),
        (COUNTS, F * u.s, "cnts", "F: unit s, expected none"),
        (COUNTS * u.count / u.s, F, "cnts", "counts: unit ct / s, expected count"),
        (COUNTS, F, "colour", "quantity 'colour': expected one of"),
    ],
)
def test_a_unit_that_cannot_be_is_refused(counts, matrix, quantity, said):
    with pytest.raises(InputError, match=said):
        measure(counts, matrix, 1, quantity, engine="exact")


def test_a_result_has_its_unit_and_a_short_text():
    (bright,) = measure(COUNTS, F * 1e4, 1, "rate", engine="exact")
    assert bright.unit == u.count / u.s
    text = repr(bright)
    assert text.startswith("<s0 rate: 0.00")
    assert text.endswith(" count s-1>") and len(text) < 80
    (faint,) = measure([0, 32], F * 1e4, 1, "rate", engine="exact")
    assert faint.outcome == Outcome.UPPER_LIMIT and ": < 0.00" in repr(faint)


def test_the_posterior_can_be_asked():
    """Against the Gamma posterior that a source without background has: C + 1 over the exposure."""
    stats = pytest.importorskip("scipy.stats")
    matrix = np.array([[1.0, 1e-9], [0.0, 1.0]])
    (found,) = measure([25, 0], matrix, 1, "cnts", engine="exact")
    truth = stats.gamma(26.0)
    x = np.array([15.0, 25.0, 40.0])
    assert found.cdf(x) == pytest.approx(truth.cdf(x), rel=1e-5)
    assert found.pdf(x) == pytest.approx(truth.pdf(x), rel=1e-5)
    assert found.quantile([0.16, 0.5]) == pytest.approx(truth.ppf([0.16, 0.5]), rel=1e-5)


def test_a_problem_of_plain_arrays_has_the_priors_of_table_1():
    problem = Problem.of(COUNTS, F, 1, "cnts", prior_upper={"background": 3.0})
    assert list(problem.upper) == [1e6, 3.0]
    assert problem.labels == ("s0", "b0")
    with pytest.raises(InputError, match="expected a whole number"):
        Problem.of([25.5, 32], F, 1, "cnts")


def test_text_counts_are_numbers_and_other_text_is_refused():
    (found,) = measure(["25", "32"], F, 1, "cnts")
    (expected,) = measure(COUNTS, F, 1, "cnts", engine="exact")
    assert found.hilim == expected.hilim
    with pytest.raises(InputError, match="counts: expected numbers"):
        measure(["many", "32"], F, 1, "cnts")


@pytest.mark.parametrize(
    ("counts", "matrix", "engine", "said"),
    [
        (COUNTS, F.T, "exact", "F is transposed"),
        ([5, 6, 32], np.array([[0.9, 0.1, 20], [0.1, 0.8, 30], [0.03, 0.04, 400]]).T, "exact",
         "F is transposed"),
        ([COUNTS] * 2, [F] * 2, "exact", "`mpiapp.measure_table` measures many"),
        (COUNTS, F, "exakt", r"unknown engine 'exakt' \(did you mean exact\?\)"),
    ],
    ids=["transposed", "two sources", "many", "engine"],
)  # fmt: skip
def test_a_call_that_makes_no_sense_is_refused(counts, matrix, engine, said):
    n_sources = 2 if len(counts) == 3 else 1
    with pytest.raises(InputError, match=said):
        measure(counts, matrix, n_sources, "cnts", engine=engine)


def test_bounds_of_any_level_are_those_of_a_measurement_with_it():
    policy = mpiapp.photometry.ladder.Policy
    found = measure(COUNTS, F, 1, "cnts")[0]
    for level in (0.68, 0.9, 0.997):
        smoothing = mpiapp.posterior.Smoothing(level=level, upper_limit="quantile")
        (again,) = measure(COUNTS, F, 1, "cnts", policy=policy(smoothing=smoothing))
        assert found.bounds(level) == (again.lolim, again.hilim)
    (faint,) = measure([3, 32], F, 1, "cnts")
    assert faint.bounds(0.68)[0] > 0.0 == faint.bounds(0.997)[0]


def test_a_background_has_a_result_of_its_own():
    """Without the source in its aperture its density is b^B e^{−bΩ} P(Gamma(C + 1) > bω)."""
    special = pytest.importorskip("scipy.special")
    (found,) = measure([3, 20], [[1.0, 10.0], [0.0, 100.0]], 1, "cnts")
    (background,) = found.backgrounds
    b = np.linspace(0, 0.8, 4001)
    density = b**20 * np.exp(-100 * b) * special.gammaincc(4, 10 * b)
    mean = (b * density).sum() / density.sum()
    rms = np.sqrt(((b - mean) ** 2 * density).sum() / density.sum())
    assert (background.mean, background.rms) == pytest.approx((mean, rms), rel=1e-5)
    assert background.unit == u.count / u.pix
    assert background.outcome == Outcome.MEASURED and repr(background).endswith("count / pix>")
    assert background.maximum_likelihood == pytest.approx((0.2, np.sqrt(20) / 100))
    with pytest.raises(ValueError, match="b0 is a background"):
        background.no_source  # noqa: B018


def test_sources_that_share_counts_are_anticorrelated():
    """Of s₁ + s₂ known exactly, and nothing else: the correlation of a uniform split is −1."""
    counts = [400, 400, 20]
    close, apart = (
        measure(counts, [[0.5 + d, 0.5 - d, 1], [0.5 - d, 0.5 + d, 1], [0, 0, 100]], 2, "cnts")[0]
        for d in (0.05, 0.5)
    )
    assert close.correlations["s1"] < -0.9 < apart.correlations["s1"]
    assert apart.correlations["s1"] == pytest.approx(0, abs=0.01)
    assert set(close.correlations) == {"s1", "b0"}


def test_a_measurement_tells_whether_there_is_a_source():
    """Against the binomial test and Poisson's law; a brighter one is less likely none."""
    faint, bright = (measure([c, 40], [[0.9, 10.0], [0.0, 400.0]], 1, "cnts")[0] for c in (2, 9))
    stats = pytest.importorskip("scipy.stats")
    for found, c in ((faint, 2), (bright, 9)):
        expected = stats.binom.sf(c - 1, c + 40, 10 / 410)
        assert found.no_source == pytest.approx(expected, rel=1e-6)
    assert faint.detection_limit() == pytest.approx(bright.detection_limit())
    assert faint.detection_limit(1e-3, 0.9) > faint.detection_limit(1e-3) > faint.detection_limit()


def test_a_bundle_draws_its_corner_and_its_table_of_results_in_a_notebook():
    """A panel for each marginal and trace of two sources and a background, and for each pair."""
    pytest.importorskip("matplotlib")
    found = mpiapp.measure([60, 40, 900], [[0.9, 0.1, 10], [0.1, 0.9, 10], [0, 0, 1000]], 2, "cnts")
    figure = found.corner()
    assert len(figure.axes) == 3 * 2 + 3
    labels = {axes.get_xlabel().split("\n")[0] for axes in figure.axes}
    assert {"s0", "s1", "bkg 2"} <= labels
    html = found._repr_html_()
    assert html.count("<svg") == 2 and "s1" in html
