"""Mean photon energies: of drawn photons of sources and background, against what was drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from mpiapp.extract.arf import power_law_kev
from mpiapp.extract.photon_energy import source_energies

BAND = 0.5, 7.0
RATIO = 1 / 12


def draw(rng, index: float, net: float, background: float):
    """Energies in the aperture and beside it: a power law on an even background."""
    low, high = (edge ** (1 - index) for edge in BAND)
    own = (low + rng.random(rng.poisson(net)) * (high - low)) ** (1 / (1 - index))
    here = np.append(own, rng.uniform(*BAND, rng.poisson(background)))
    return here, rng.uniform(*BAND, rng.poisson(background / RATIO))


def source_energy(here, beside):
    """Of one source all of whose photons are in its aperture."""
    (found,) = source_energies(np.array([[1, RATIO], [0, 1]]), (here, beside), BAND, 1.7)
    return found


@pytest.mark.parametrize(("net", "background"), [(5, 1), (5, 10), (20, 10), (20, 50), (100, 50)])
def test_faint_sources_err_less_than_by_the_mean_of_all_or_of_the_net_counts(net, background):
    """Sources whose indices scatter: the rms error of 2,000 of them, right to some 2 %."""
    rng = np.random.default_rng([net, background])
    errors = {"own": [], "all": [], "net": []}
    for _ in range(2000):
        index = rng.normal(1.7, 0.4)
        here, beside = draw(rng, index, net, background)
        if not len(here):
            continue
        kev = power_law_kev(BAND, index)
        left = max(len(here) - RATIO * len(beside), 0.5)
        mean = np.clip((here.sum() - RATIO * beside.sum()) / left, *BAND)
        errors["own"].append(source_energy(here, beside).kev - kev)
        errors["all"].append(here.mean() - kev)
        errors["net"].append(mean - kev)
    rms = {name: np.sqrt(np.mean(np.square(values))) for name, values in errors.items()}
    assert rms["own"] < 0.9 * min(rms["all"], rms["net"])
    assert rms["own"] < 1.1 * 0.38  # never worse than the power law, from which sources scatter


def test_bright_sources_have_the_mean_of_their_own_photons():
    rng = np.random.default_rng(1)
    here, beside = draw(rng, 0.5, 50_000, 500)
    # The energies of an even background and this power law scatter by less than 2 keV.
    error = 4 * 2 / np.sqrt(50_000)
    assert source_energy(here, beside).kev == pytest.approx(
        power_law_kev(BAND, 0.5), abs=error + 0.01
    )


def test_without_net_counts_there_is_the_power_law():
    nothing = np.zeros(0)
    expected = power_law_kev(BAND, 1.7)
    for here, beside in ((nothing, nothing), (np.array([6.0]), np.full(24, 3.0))):
        found = source_energy(here, beside)
        assert found.kev == expected and found.assumed == 1


@pytest.mark.parametrize(("net", "background"), [(5, 1), (20, 10), (100, 50), (1000, 50)])
def test_errors_of_mean_energies_are_those_of_drawn_sources(net, background):
    """Pulls of 2,000 sources: their width is known to 1.6 %.

    Their mean is that of sources whose photon indices scatter about the assumed one, which is not
    that of the index in the middle.
    """
    rng = np.random.default_rng([net, background, 5])
    pulls, assumed = [], []
    for _ in range(2000):
        index = rng.normal(1.7, 0.4)
        found = source_energy(*draw(rng, index, net, background))
        pulls.append((found.kev - power_law_kev(BAND, index)) / found.error)
        assumed.append(found.assumed)
    assert np.std(pulls) == pytest.approx(1, abs=4 / np.sqrt(2 * 2000))
    assert abs(np.mean(pulls)) < 0.15
    assert (np.mean(assumed) > 0.5) == (net < 30) and (np.mean(assumed) < 0.05) == (net > 300)


@pytest.mark.parametrize("spill", [0.05, 0.4])
def test_a_source_beside_a_bright_one_has_the_energies_of_its_own_photons(spill):
    """Pulls of 1,000 sources of 300 counts, each with a neighbour of 3,000 that is harder."""
    rng = np.random.default_rng([5, int(100 * spill)])
    F = np.array([[1 - spill, spill, RATIO], [spill, 1 - spill, RATIO], [0, 0, 1]])
    pulls = {"faint": [], "bright": []}
    for _ in range(1000):
        faint, bright = rng.normal(1.7, 0.4), rng.normal(1.4, 0.2)
        own, beside = draw(rng, faint, 300, 0)[0], draw(rng, bright, 3000, 0)[0]
        region = [rng.random(len(x)) < share for x, share in ((own, 1 - spill), (beside, spill))]
        background = [rng.uniform(*BAND, rng.poisson(mean)) for mean in (10, 10, 10 / RATIO)]
        energies = (
            np.concatenate([own[region[0]], beside[region[1]], background[0]]),
            np.concatenate([own[~region[0]], beside[~region[1]], background[1]]),
            background[2],
        )
        for name, found, index in zip(
            pulls, source_energies(F, energies, BAND, 1.7), (faint, bright)
        ):
            pulls[name].append((found.kev - power_law_kev(BAND, index)) / found.error)
    # The harder photons scatter by up to a fifth more than those of the assumed power law; means
    # are drawn to that of the power law in the middle.
    for values in pulls.values():
        assert np.std(values) == pytest.approx(1.1, abs=0.1 + 4 / np.sqrt(2 * 1000))
        assert abs(np.mean(values)) < 0.3
