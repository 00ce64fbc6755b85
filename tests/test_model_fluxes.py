"""Model fluxes: count rates in the unit of a conversion factor, in tables, jobs and products."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import mpiapp, photometry
from scipy import integrate

from mpiapp import measure_table
from mpiapp.catalog.quantities import MODEL_FLUXES
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import read_prep3
from mpiapp.files.prep3_write import write_prep3

COUNTS = {"101": (31, 260), "102": (19, 240)}  # source and background aperture
FACTORS = {"101": 1.5e-11, "102": 2.5e-11}
EXPOSURE = 20_000.0
F = np.array([[0.9, 20.0], [0.05, 400.0]]) * EXPOSURE  # of count rates


def rows(**columns):
    """A source in two observations of one stack."""
    table = Table(
        {
            "obsid": list(COUNTS),
            "stack": ["S"] * 2,
            "component": ["r1"] * 2,
            "instrument": ["ACIS"] * 2,
            "band": ["b"] * 2,
            "aperture": ["aper"] * 2,
            "cnts": [c for c, _ in COUNTS.values()],
            "cnts_bkg": [b for _, b in COUNTS.values()],
            "exposure_rate": [EXPOSURE] * 2,
        }
    )
    shares = {"psf_frac": 0.9, "psf_frac_bkg": 0.05, "area": 20.0, "area_bkg": 400.0}
    for name, values in (shares | columns).items():
        table[name] = values
    return table


def job(folder, table, quantities=("rate", "powlaw")):
    """Rows of /photometry of all levels without masters, by (level, target, quantity)."""
    table.write(folder / "table.ecsv")
    import_table(folder / "table.ecsv", folder / "prep3")
    config = folder / "job.toml"
    config.write_text(
        f"[[input]]\nprep3 = '{folder / 'prep3'}'\nlevels = ['obsid', 'stack']\n"
        f"[select]\nquantities = {list(quantities)}\n"
        f"[output]\nresults = '{folder / 'results.h5'}'\n[engine]\nname = 'exact'\n"
    )
    done = mpiapp("run", config)
    assert done.returncode == 0, done.stderr
    found = photometry(folder / "results.h5")
    return {(r["level"].decode(), r["target"].decode(), r["quantity"].decode()): r for r in found}


def moments_by_quadrature(factors):
    """Mean and rms of the flux that both observations have, by nested integrals of Poisson's law.

    The background of each observation is integrated out on its own, with uniform priors.
    """
    flux = np.linspace(0.0, 8e-14, 4001)
    log_p = np.zeros(len(flux))
    for obsid, (source, background) in COUNTS.items():
        b = np.linspace(0.0, 1.2e-4, 3001)[:, None]  # counts per pixel and second
        mu = [row[0] / factors[obsid] * flux + row[1] * b for row in F]
        with np.errstate(divide="ignore"):
            logs = sum(n * np.log(m) - m for n, m in zip((source, background), mu))
        top = logs[1:].max()
        log_p += np.log(integrate.simpson(np.exp(logs - top), x=b[:, 0], axis=0)) + top
    p = np.exp(log_p - log_p.max())
    p /= integrate.simpson(p, x=flux)
    mean = integrate.simpson(p * flux, x=flux)
    return mean, np.sqrt(integrate.simpson(p * (flux - mean) ** 2, x=flux))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    table = rows(conversion_powlaw=list(FACTORS.values()), conversion_powlaw_unabs=3e-11)
    return job(tmp_path_factory.mktemp("job"), table, ("rate", "powlaw", "powlaw_u"))


def test_in_one_observation_the_flux_is_the_rate_times_the_factor(measured):
    for obsid, factor in FACTORS.items():
        target = f"S/{obsid}/r1"
        rate, flux = measured["obsid", target, "rate"], measured["obsid", target, "powlaw"]
        for name in ("value", "lolim", "hilim", "mean", "rms"):
            assert flux[name] == pytest.approx(factor * rate[name], rel=1e-9, abs=0)
        assert flux["unit"] == b"erg s-1 cm-2"
        bare = measured["obsid", target, "powlaw_u"]
        assert bare["value"] == pytest.approx(3e-11 * rate["value"], rel=1e-9, abs=0)


def test_in_a_stack_the_flux_is_what_the_observations_have_in_common(measured):
    mean, rms = moments_by_quadrature(FACTORS)
    found = measured["stack", "S/r1", "powlaw"]
    assert (found["mean"], found["rms"]) == (pytest.approx(mean, rel=1e-6, abs=0),
                                             pytest.approx(rms, rel=1e-5, abs=0))  # fmt: skip
    # not the stack's count rate times a mean factor, since the rates are different
    rate = measured["stack", "S/r1", "rate"]
    assert found["mean"] != pytest.approx(
        np.mean(list(FACTORS.values())) * rate["mean"], rel=1e-3, abs=0
    )


def test_sources_of_a_bundle_have_factors_of_their_own():
    """Each source's posterior is that of its rate in another unit, whatever its neighbour's is."""
    factors = [1e-11, 7e-11]
    table = Table(
        {
            "bundle": ["a", "a"],
            "cnts": [60, 45],
            "cnts_bkg": [300, 300],
            "psf_frac": [[0.8, 0.3], [0.2, 0.7]],
            "psf_frac_bkg": [0.05, 0.04],
            "area": [20.0, 25.0],
            "area_bkg": [400.0, 400.0],
            "exposure_rate": [1e4, 1e4],
            "conversion_bb": factors,
        }
    )
    found = measure_table(table, progress=False)
    for name in ("", "_lolim", "_hilim", "_mean", "_rms"):
        expected = factors * found[f"src_rate{name}"].value
        # the engine's units follow from F, so that chance enters anew
        assert np.allclose(found[f"flux_bb{name}"].value, expected, rtol=2e-3)


def test_a_row_without_a_factor_has_no_model_flux_and_all_others():
    found = measure_table(rows(conversion_apec=[2e-11, np.nan]), progress=False)
    assert np.isfinite(found["src_rate"]).all()
    assert np.isfinite(found["flux_apec"]).tolist() == [True, False]


def test_factors_without_an_exposure_for_rates_are_told(tmp_path):
    table = rows(conversion_powlaw=1e-11)
    table.remove_column("exposure_rate")
    table.write(tmp_path / "table.ecsv")
    notes = import_table(tmp_path / "table.ecsv", tmp_path / "prep3").notes
    assert any("not measured: powlaw, which needs exposure_rate" in note for note in notes)


def test_a_stack_with_factors_in_one_observation_only_is_told(tmp_path):
    rows(conversion_powlaw=[1e-11, np.nan]).write(tmp_path / "table.ecsv")
    notes = import_table(tmp_path / "table.ecsv", tmp_path / "prep3").notes
    assert "have no conversion_powlaw" in notes[-1] and "obsid 102" in notes[-1]


def test_bundles_of_json_lines_bring_their_factors(tmp_path):
    record = {
        "obsid": "1", "stack": "S", "bundle": "b", "instrument": "ACIS", "band": "b",
        "aperture": "aper", "components": ["r1", "r2"], "counts": [9, 5, 100],
        "F": {"rate": [[9e3, 1e3, 2e5], [1e3, 9e3, 3e5], [500.0, 400.0, 4e6]]},
        "conversion_brems": [1e-11, 4e-11],
    }  # fmt: skip
    bad = record | {"bundle": "c", "components": ["r3", "r4"], "conversion_brems": [1e-11, 0.0]}
    (tmp_path / "b.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(bad)}\n")
    report = import_table(tmp_path / "b.jsonl", tmp_path)
    (fault,) = report.faults
    assert "conversion_brems" in fault.message and "positive" in fault.message
    matrices = read_prep3(report.files[0]).bundles["b"].F
    ratio = matrices["b", "aper", "rate"] / matrices["b", "aper", "brems"]
    assert np.allclose(ratio, [[1e-11, 4e-11, 2.5e-11]] * 3, rtol=1e-12)


def test_a_factor_that_is_none_costs_its_bundle_the_model_and_nothing_else(tmp_path):
    import_table(written(tmp_path, rows(conversion_powlaw=1e-11)), tmp_path)
    (path,) = tmp_path.glob("*_101_prep3.fits")
    bundle = read_prep3(path).bundles["r1"]
    plain = {matrix: F for matrix, F in bundle.F.items() if matrix.quantity not in MODEL_FLUXES}
    bundle = type(bundle)(bundle.key, "ACIS", ("r1",), dict(bundle.counts), plain)
    info = [("r1", "r1", "b", "aper", {"conversion_powlaw": -1.0, "conversion_bb": 2e-11})]
    write_prep3(path, "S", "101", "ACIS", [bundle], info=info)
    file = read_prep3(path)
    (fault,) = file.faults
    assert all(word in fault.message for word in (path.name, "SRCINFO", "conversion_powlaw",
               "r1", "-1.0"))  # fmt: skip
    assert {matrix.quantity for matrix in file.bundles["r1"].F} == {"rate", "cnts", "bb"}


def test_a_column_that_astropy_adds_to_srcinfo_is_measured_with(tmp_path):
    table = rows(name=["x", "y"])  # which makes SRCINFO
    (path, _) = import_table(written(tmp_path, table), tmp_path).files
    with fits.open(path) as hdus:
        info = Table.read(hdus["SRCINFO"])
        info["conversion_powlaw"] = 1.1e-11
        hdus["SRCINFO"] = fits.BinTableHDU(info, name="SRCINFO")
        hdus.writeto(path, overwrite=True, checksum=True)
    file = read_prep3(path)
    bundle = file.bundles["r1"]
    assert file.faults == []
    ratio = bundle.F["b", "aper", "rate"] / bundle.F["b", "aper", "powlaw"]
    assert np.allclose(ratio, 1.1e-11, rtol=1e-12)


def test_the_catalogs_names_are_those_of_the_product(tmp_path):
    job(
        tmp_path,
        rows(conversion_powlaw=1e-11, conversion_powlaw_unabs=2e-11),
        ("powlaw", "powlaw_u"),
    )
    assert (
        mpiapp(
            "export", tmp_path / "results.h5", tmp_path / "s.fits", "--level", "stack"
        ).returncode
        == 0
    )
    product = Table.read(tmp_path / "s.fits")
    for stem in ("flux_powlaw_aper", "flux_powlaw_unabs_aper"):
        assert {f"{stem}{end}_b" for end in ("", "_lolim", "_hilim")} <= set(product.colnames)
        assert str(product[f"{stem}_b"].unit) == "erg / (s cm2)"


def written(folder, table):
    table.write(folder / "table.ecsv")
    return folder / "table.ecsv"
