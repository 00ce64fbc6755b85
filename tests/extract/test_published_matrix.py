"""C and F from real files: the matrix that the memo's author published, and two observations."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from documents import ROOT
from jobs import mpiapp
from scipy.optimize import minimize

from mpiapp import measure
from mpiapp.catalog.quantities import Matrix
from mpiapp.extract.field import ObservationFiles, Settings, SourceFiles
from mpiapp.extract.field_file import read_field_file
from mpiapp.extract.observation import extract_observation
from mpiapp.extract.overlaps import find_bundles
from mpiapp.extract.region_files import RegionFile
from mpiapp.files.prep3 import read_prep3

DATA = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="../shared/data, real files of the catalog, is not there"
)


def bundles_of(path):
    return read_prep3(path).bundles


def test_the_published_matrix_of_obsid_1575_comes_out_of_its_files(tmp_path):
    """PSF elements to 1e-6, areas to 1e-3, of which the author's were pixel by pixel."""
    published = json.loads((DATA / "obsid1575_bundle.json").read_text())
    start = f"{DATA}/products/obsid1575/acisf01575_001N001_"
    names = published["components"]
    background = RegionFile(f"{DATA}/products/obsid1575/new_acisf01575_001N001_r0116_bkgreg3.fits")
    sources = tuple(
        SourceFiles(
            name,
            RegionFile(f"{start}{name}_srcreg3.fits"),
            background,
            psf={"b": f"{start}{name}b_psf3.fits.gz"},
            maps={"b": f"{start}{name}b_regexp3.fits.gz"},
        )
        for name in names
    )
    # Its event list is not at hand: an image of one count a pixel stands for it.
    with fits.open(f"{start}r0116b_regexp3.fits.gz") as hdus:
        image = fits.PrimaryHDU(np.ones_like(hdus[0].data, dtype=np.int16))
        keys = [k for k in hdus[0].header if k[:5] in ("CTYPE", "CRVAL", "CRPIX", "CDELT")]
        image.header.update({k: hdus[0].header[k] for k in (*keys, "INSTRUME", "EXPOSURE")})
    image.writeto(tmp_path / "counts.fits")
    files = ObservationFiles("S", "1575", sources, images={"": str(tmp_path / "counts.fits")})
    settings = Settings(photon_energy_kev={"b": 2.0})
    done = extract_observation(files, {"b0000": tuple(names)}, settings, str(tmp_path))
    assert done.faults == []
    bundle = bundles_of(done.path)["b0000"]
    assert bundle.components == tuple(names)
    F, expected = bundle.F[Matrix("b", "aper", "photflux")], np.array(published["F"])
    assert np.allclose(F[:, :-1], expected[:, :-1], rtol=1e-6, atol=0)
    assert np.allclose(F[:, -1], expected[:, -1], rtol=1e-3)
    # The author's intensities, photon fluxes of flat priors, from his counts and this matrix.
    log = (
        DATA / "products/obsid1575/full_dataset_uninformative_priors_27_Mar_2018.log"
    ).read_text()
    lines = re.findall(r"Bayes Estimate for Source \d =\s+(\S+)\s+(\S+)\s+(\S+)", log)
    found = measure(published["counts"], F, len(names), "photflux", engine="exact")
    for source, (mode, low, high) in zip(found, np.array(lines, dtype=float), strict=True):
        assert source.mode == pytest.approx(mode, abs=0.05 * (high - low) / 2)
    erg = 2.0 * 1.602176634e-9
    assert np.allclose(bundle.F[Matrix("b", "aper", "flux")] * erg, F, rtol=1e-12)
    # Each 90 % ellipse holds nine tenths of its own PSF, to the size of a pixel.
    assert np.diag(bundle.F[Matrix("b", "aper90", "cnts")])[:-1] == pytest.approx(0.9, abs=0.01)


COSMOS = DATA / "products" / "cosmos"
PREFIX = {7999: "acisf07999_000N001_r0035", 8478: "acisf08478_000N001_r0043"}


@pytest.fixture
def cosmos(tmp_path):
    """A field file of the two COSMOS observations as one stack with one source."""
    text = 'sources = ["A"]\nphoton_energy_kev = 2\n'
    for obsid, name in PREFIX.items():
        text += (
            f'[[observation]]\nobsid = {obsid}\nstack = "S"\n'
            f'aper = "{COSMOS}/{name}_reg3.fits.gz"\n'
            f'background = "{COSMOS}/{name}_reg3.fits.gz"\n'
            f'image = "{COSMOS}/{name}_regevt3_srcimg.fits.gz"\n'
            f'psf = "{COSMOS}/{name}{{band}}_psf3.fits.gz"\n'
        )
    path = tmp_path / "field.toml"
    path.write_text(text)
    return path


def test_the_two_cosmos_observations_have_their_counts_areas_and_fractions(cosmos, tmp_path):
    expected = json.loads((DATA / "cosmos_two_obsids.json").read_text())
    field = read_field_file(cosmos)
    bundles = find_bundles(field.observations).bundles
    assert bundles == {"b0000": ("A",)}
    for files, case in zip(field.observations, expected):
        done = extract_observation(files, bundles, field.settings, str(tmp_path))
        bundle = bundles_of(done.path)["b0000"]
        F = bundle.F[Matrix("b", "aper", "cnts")]
        assert bundle.counts["b", "aper"].tolist() == [case["counts"], case["counts_bkg"]]
        assert F[:, 0] == pytest.approx([case["psf_frac"], case["psf_frac_bkg"]], abs=1e-6)
        # The areas given are numbers of pixels, those here are of the shapes.
        assert F[:, 1] == pytest.approx([case["area_pix"], case["area_bkg_pix"]], rel=2.5e-3)
        rate = bundle.F[Matrix("b", "aper", "rate")]
        assert rate / F == pytest.approx(case["exposure_s"], rel=1e-6)


def test_a_folder_of_counts_images_is_extracted_as_it_is(tmp_path):
    expected = json.loads((DATA / "cosmos_two_obsids.json").read_text())
    assert mpiapp("extract", COSMOS, tmp_path).returncode == 0
    found = {}
    for path in tmp_path.glob("*prep3.fits"):
        for bundle in bundles_of(path).values():
            found[(bundle.key.obsid, *bundle.components)] = bundle.counts["b", "aper"].tolist()
    assert found == {
        (str(case["obsid"]), PREFIX[case["obsid"]][-5:]): [case["counts"], case["counts_bkg"]]
        for case in expected
    }


def test_the_two_cosmos_observations_are_measured_as_a_stack(cosmos, tmp_path):
    """The rate of both is that of greatest likelihood, to a fifth of its uncertainty."""
    assert mpiapp("extract", cosmos, tmp_path / "prep3").returncode == 0
    job = mpiapp("run", tmp_path / "prep3" / "job.toml")
    assert job.returncode == 0, job.stderr
    out = tmp_path / "stack.csv"
    results = tmp_path / "prep3" / "results.h5"
    assert mpiapp("export", results, out, "--level", "stack").returncode == 0
    row = Table.read(out)[0]
    cases = json.loads((DATA / "cosmos_two_obsids.json").read_text())
    C = np.array([(case["counts"], case["counts_bkg"]) for case in cases])
    f = np.array([(case["psf_frac"], case["psf_frac_bkg"]) for case in cases])
    area = np.array([(case["area_pix"], case["area_bkg_pix"]) for case in cases])
    seconds = np.array([[case["exposure_s"]] for case in cases])

    def minus_log_likelihood(theta):
        expected = seconds * (1e-3 * f * theta[0] + 1e-6 * area * np.reshape(theta[1:], (2, 1)))
        return (expected - C * np.log(expected)).sum()

    best = minimize(minus_log_likelihood, [1, 0.5, 0.5], bounds=3 * [(1e-3, 10)]).x[0] * 1e-3
    half = (row["src_rate_aper_hilim_b"] - row["src_rate_aper_lolim_b"]) / 2
    assert row["src_rate_aper_b"] == pytest.approx(best, abs=0.2 * half)
