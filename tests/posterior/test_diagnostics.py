"""r-hat and ESS against arviz, and against chains whose properties are known."""

import numpy as np
import pytest

from mpiapp.posterior.diagnostics import rhat_and_ess

# Normal scores are good to 1.2e-9 of themselves, and enter variances and covariances twice.
ACCURACY = 1e-8


def autoregressive(rng, phi, n_chains, n_draws):
    """Chains of x_t = φ x_(t-1) + e_t, stationary from the start, with unit variance."""
    noise = rng.normal(size=(n_chains, n_draws)) * np.sqrt(1 - phi**2)
    x = np.empty_like(noise)
    x[:, 0] = rng.normal(size=n_chains)
    for t in range(1, n_draws):
        x[:, t] = phi * x[:, t - 1] + noise[:, t]
    return x


@pytest.mark.parametrize("n_chains", [1, 2, 4])
@pytest.mark.parametrize("n_draws", [100, 999, 1000])
@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.95])
def test_agrees_with_arviz(n_chains, n_draws, phi):
    az = pytest.importorskip("arviz")
    rng = np.random.default_rng(1)
    values = np.exp(autoregressive(rng, phi, n_chains, n_draws))
    values[0] += 0.2
    rhat, ess = rhat_and_ess(values[:, :, None])
    if n_chains > 1:
        assert rhat[0] == pytest.approx(float(az.rhat(values, method="rank")), rel=ACCURACY)
    assert ess[0] == pytest.approx(float(az.ess(values, method="bulk")), rel=ACCURACY)


def test_agrees_with_arviz_where_draws_repeat():
    az = pytest.importorskip("arviz")
    values = np.random.default_rng(2).poisson(3.0, size=(2, 500)).astype(float)
    rhat, ess = rhat_and_ess(values[:, :, None])
    assert rhat[0] == pytest.approx(float(az.rhat(values, method="rank")), rel=ACCURACY)
    assert ess[0] == pytest.approx(float(az.ess(values, method="bulk")), rel=ACCURACY)


def test_agrees_with_arviz_on_chains_of_every_kind():
    az = pytest.importorskip("arviz")
    white = np.random.default_rng(0).normal(size=(4, 201, 3))
    kinds = {
        "white": white,
        "slow": np.cumsum(white, axis=1),
        "smooth": white[:, 1:] + 0.9 * white[:, :-1],
        "antithetic": white[:, 1:] - 0.5 * white[:, :-1],
        "shifted": white + np.arange(4)[:, None, None],
        "skewed": np.exp(3 * white),
    }
    for kind, values in kinds.items():
        rhat, ess = rhat_and_ess(np.ascontiguousarray(values))
        data = az.convert_to_dataset(values)
        np.testing.assert_allclose(rhat, az.rhat(data).x.values, rtol=ACCURACY, err_msg=kind)
        np.testing.assert_allclose(ess, az.ess(data).x.values, rtol=ACCURACY, err_msg=kind)


def test_columns_are_diagnosed_one_by_one():
    rng = np.random.default_rng(3)
    values = np.stack([autoregressive(rng, phi, 2, 400) for phi in (0.0, 0.9)], axis=2)
    rhat, ess = rhat_and_ess(values)
    for column in (0, 1):
        alone = rhat_and_ess(values[:, :, column : column + 1])
        assert (rhat[column], ess[column]) == (alone[0][0], alone[1][0])


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_ess_of_an_autoregressive_chain_is_the_known_one(phi):
    # The integrated autocorrelation time of AR(1) is (1+φ)/(1-φ).  Its estimate
    # from N = 80,000 draws, with the sum cut at about M = 10 τ lags, scatters by
    # √(2(2M+1)/N) (Sokal 1997): 6 % for φ = 0.8.  4 standard deviations at most.
    n_chains, n_draws = 4, 20_000
    values = autoregressive(np.random.default_rng(4), phi, n_chains, n_draws)
    tau = (1 + phi) / (1 - phi)
    scatter = np.sqrt(2 * (20 * tau + 1) / values.size)
    _, ess = rhat_and_ess(values[:, :, None])
    assert ess[0] == pytest.approx(values.size / tau, rel=4 * scatter)


def test_rhat_is_one_for_alike_chains_and_sees_a_shift_and_a_change_of_width():
    rng = np.random.default_rng(5)
    alike = rng.normal(size=(2, 1000))
    shifted = alike + np.array([[0.0], [1.0]])
    wider = alike * np.array([[1.0], [3.0]])
    rhat, _ = rhat_and_ess(np.stack([alike, shifted, wider], axis=2))
    assert rhat[0] < 1.01
    assert rhat[1] > 1.1
    assert rhat[2] > 1.1


def test_rhat_sees_a_drift_within_each_chain():
    drifting = np.random.default_rng(6).normal(size=(2, 1000)) + np.linspace(0, 3, 1000)
    assert rhat_and_ess(drifting[:, :, None])[0][0] > 1.2


def test_does_not_depend_on_units():
    values = np.random.default_rng(7).gamma(2.0, size=(2, 500, 1))
    for unit in (1e-15, 1e6):
        scaled = rhat_and_ess(values * unit)
        np.testing.assert_allclose(scaled, rhat_and_ess(values), rtol=1e-9)


@pytest.mark.parametrize("shape", [(1, 7), (2, 47), (16, 75), (3, 101)])
def test_a_column_that_never_moves_has_no_rhat(shape):
    assert np.isnan(rhat_and_ess(np.full((*shape, 1), 0.1))[0])


def test_columns_that_say_nothing_are_nan():
    values = np.random.default_rng(8).normal(size=(2, 100, 3))
    values[:, :, 0] = 1.0
    values[1, 50, 1] = np.nan
    rhat, ess = rhat_and_ess(values)
    assert np.isnan(rhat[0])
    assert np.isnan(rhat[1]) and np.isnan(ess[1])
    assert np.isfinite(rhat[2]) and np.isfinite(ess[2])
