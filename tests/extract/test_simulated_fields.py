"""Files of simulated skies: C and F against what the photons were drawn from, and damaged files."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from damaged_bytes import mutated
from jobs import mpiapp, mpiexec
from mock_skies import STEADY

from mpiapp.catalog.quantities import BANDS, TABLE_1, Matrix
from mpiapp.extract.bundle_files import open_observation
from mpiapp.extract.find import find_field
from mpiapp.extract.observation import extract_observation, measure_piece
from mpiapp.extract.overlaps import find_bundles
from mpiapp.files.prep3 import read_prep3
from mpiapp.files.source_info import read_source_info
from mpiapp.parallel import extraction
from mpiapp.parallel.extraction import RECORD, run
from mpiapp.parallel.world import World
from mpiapp.simulate import simulate
from mpiapp.simulate.instrument import enclosed_fraction

PRESET = replace(
    STEADY,
    sources=(34, 34),
    flux=(1e-14, 1e-12),
    stacks=(2, 2),
    obsids=(2, 2),
)


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mock")
    simulate(folder, 60, seed=5, preset=PRESET, events=True)
    return folder


@pytest.fixture
def one_stack(mock, tmp_path) -> Path:
    """A copy of the products of the first stack, two observations."""
    folder = sorted((mock / "products").iterdir())[0]
    return Path(shutil.copytree(folder, tmp_path / "products"))


def extract_all(products: Path, out: Path):
    found = []
    assert (
        run(lambda: find_field(str(products)), out, World(), lambda *a: found.append(a) or 0) == 0
    )
    return found[0][0]


@pytest.fixture(scope="module")
def extracted(mock, tmp_path_factory):
    done = extract_all(mock / "products", tmp_path_factory.mktemp("prep3")).done
    assert len(done) >= 4 and not [fault for one in done for fault in one.faults]
    return done


@pytest.fixture(scope="module")
def bundles(extracted):
    """What was extracted, by target."""
    found = {}
    for one in extracted:
        for bundle in read_prep3(one.path).bundles.values():
            found[str(bundle.key)] = bundle
    return found


@pytest.fixture(scope="module")
def truth(mock):
    """(intensities, background) by target and band, in the order of the components."""
    table = Table.read(mock / "truth.fits")
    table.convert_bytestring_to_unicode()
    found = defaultdict(lambda: defaultdict(dict))
    for row in table:
        target = f"{row['stack']}/{row['obsid']}/{row['bundle']}"
        values = {q: (row[q], row[f"bkg_{q}"]) for q in TABLE_1}
        found[target][row["band"]][row["component"]] = values
    return found


def test_the_start_of_every_observation_comes_along(extracted):
    starts = {}
    for header in (read_prep3(one.path).header for one in extracted):
        starts[header.obsid] = header.mjd
    # a field's are a month apart, in the order of their numbers
    assert starts == {name: 55_000.0 + 30.0 * (int(name) % 100) for name in starts}


def test_bundles_and_missing_sources_are_those_of_the_sky(bundles, truth):
    assert bundles.keys() == truth.keys()
    for target, bundle in bundles.items():
        assert set(bundle.components) == truth[target]["b"].keys(), target
    assert max(len(bundle.components) for bundle in bundles.values()) >= 3


@pytest.mark.parametrize("quantity", ["cnts", "rate", "photflux"])
@pytest.mark.parametrize("aperture", ["aper", "aper90"])
def test_counts_scatter_about_f_times_the_truth_as_poisson_counts_do(
    bundles, truth, quantity, aperture
):
    """Pulls of apertures with more than 10 counts: mean 0, width 1, within 4 of their errors."""
    pulls = []
    for target, bundle in bundles.items():
        for band, values in truth[target].items():
            theta = [values[c][quantity][0] for c in bundle.components]
            theta.append(values[bundle.components[0]][quantity][1])
            expected = bundle.F[Matrix(band, aperture, quantity)] @ theta
            enough = expected > 10
            counts = bundle.counts[band, aperture]
            pulls += ((counts - expected) / np.sqrt(expected))[enough].tolist()
    n = len(pulls)
    assert n > 100
    assert abs(np.mean(pulls)) < 4 / np.sqrt(n)
    assert abs(np.var(pulls) - 1) < 4 * np.sqrt(2 / n)


def test_energy_fluxes_carry_the_energies_of_the_sources_not_of_the_background(bundles, truth):
    """All source counts together against F times the true energy fluxes."""
    counts = expected = 0.0
    for target, bundle in bundles.items():
        for band, values in truth[target].items():
            theta = [values[c]["flux"][0] for c in bundle.components]
            theta.append(values[bundle.components[0]]["flux"][1])
            F = bundle.F[Matrix(band, "aper", "flux")]
            bright = np.diag(F)[:-1] * theta[:-1] > 30
            expected += (F @ theta)[:-1][bright].sum()
            counts += bundle.counts[band, "aper"][:-1][bright].sum()
    # Energies of n photons scatter by some 70 % of their mean, as counts do by 1/√n.
    assert abs(counts / expected - 1) < 4 * np.hypot(1, 0.7) / np.sqrt(counts)


def test_psf_fractions_and_areas_are_those_of_the_simulated_psf(mock, bundles):
    """Of circles without holes: to half a pixel of the PSF image along their edges."""
    checked = 0
    for bundle in bundles.values():
        stack, obsid, _ = bundle.key
        folder = mock / "products" / stack
        F = bundle.F[Matrix("b", "aper", "cnts")]
        circles = {}
        for name in bundle.components:
            region = Table.read(folder / f"{stack}N001_{name}_reg3.fits", hdu="SRCREG")
            own = Table.read(folder / f"acisf{obsid}_000N001_{name}_reg3.fits", hdu="ECF90REGB")
            if len(region) == 1:
                circles[name] = region["X"][0], region["Y"][0], region["R"][0][0], own["R"][0][0]
        for i, name in enumerate(bundle.components):
            for j, other in enumerate(bundle.components):
                if name in circles and other in circles:
                    x, y, radius, _ = circles[name]
                    a, b, _, r90 = circles[other]
                    exact = enclosed_fraction(np.hypot(x - a, y - b), radius, r90)
                    assert F[i, j] == pytest.approx(exact, abs=0.02)
                    checked += 1
            if name in circles and F[i, i] > 0.9:
                # near the edge, times the mean exposure over that at the source
                assert F[i, -1] == pytest.approx(np.pi * circles[name][2] ** 2, rel=1e-3)
    assert checked > 60


def test_counts_are_those_of_a_sum_over_the_event_file(mock, bundles):
    key, bundle = next((k, b) for k, b in sorted(bundles.items()) if len(b.components) == 1)
    stack, obsid, _ = key.split("/")
    folder = mock / "products" / stack
    with fits.open(folder / f"acisf{obsid}_000N001_evt3.fits") as hdus:
        events, good = hdus["EVENTS"].data, hdus["GTI"].data
        keep = ~events["status"].any(axis=1) & (events["time"] < good["STOP"][0])
        assert 0.9 < keep.mean() < 0.98
        x, y, ev = (events[name][keep].astype(float) for name in ("x", "y", "energy"))
    region = Table.read(folder / f"{stack}N001_{bundle.components[0]}_reg3.fits", hdu="SRCREG")
    inside = np.hypot(x - region["X"][0], y - region["Y"][0]) <= region["R"][0][0]
    for band in "bs":
        low, high = BANDS[band]
        expected = int((inside & (ev >= 1000 * low) & (ev < 1000 * high)).sum())
        assert bundle.counts[band, "aper"][0] == expected


def test_maps_around_each_source_serve_a_bundle_as_that_of_the_field_does(one_stack, tmp_path):
    field = find_field(str(one_stack))
    files = field.observations[0]
    bundles = find_bundles(field.stacks()[files.stack]).bundles
    name, crowd = max(bundles.items(), key=lambda item: len(item[1]))
    whole = extract_observation(files, {name: crowd}, field.settings, str(tmp_path))
    expected = read_prep3(whole.path).bundles[name].F[Matrix("b", "aper", "photflux")]
    with fits.open(files.maps["b"]) as hdus:
        image, header = hdus[0].data, hdus[0].header
    sources = []
    for source in files.sources:
        with fits.open(source.psf["b"]) as hdus:
            corner = hdus[0].header["CRVAL1P"], hdus[0].header["CRVAL2P"]
            width = hdus[0].header["NAXIS1"] * hdus[0].header["CDELT1P"]
        step = header["CDELT1P"]
        first = [
            int((c - header[f"CRVAL{k}P"]) / step) for k, c in ((1, corner[0]), (2, corner[1]))
        ]
        x, y = (max(f - 2, 0) for f in first)
        n = int(width / step) + 6
        hdu = fits.PrimaryHDU(image[y : y + n, x : x + n])
        for k, f in ((1, x), (2, y)):
            hdu.header[f"CRVAL{k}P"] = header[f"CRVAL{k}P"] + f * step
            hdu.header[f"CRPIX{k}P"], hdu.header[f"CDELT{k}P"] = 1.0, step
        hdu.writeto(tmp_path / f"{source.name}.fits")
        sources.append(replace(source, maps={"b": str(tmp_path / f"{source.name}.fits")}))
    own = replace(files, sources=tuple(sources), maps={})
    settings = replace(field.settings, bands=("b",))
    done = extract_observation(own, {name: crowd}, settings, str(tmp_path))
    F = read_prep3(done.path).bundles[name].F[Matrix("b", "aper", "photflux")]
    # points instead of pixels, where no single map holds the background
    assert np.allclose(F[-1, -1], expected[-1, -1], rtol=0.01)
    assert np.allclose(np.diag(F), np.diag(expected), rtol=0.01)


def test_the_quality_of_every_aperture_comes_along(extracted):
    rows = [read_source_info(one.path) for one in extracted]
    texts = [text for table in rows for text in np.ma.filled(table["extract_flags"], "")]
    flags = {flag for text in texts for flag in text.split()}
    assert {"overlap", "holed"} <= flags
    for table in rows:
        assert (table["theta"] < 15).all() and (table["frac_off_chip"] < 1).all()
        energies = np.asarray(np.ma.filled(table["mean_energy"], np.nan))
        soft = energies[np.asarray(table["band"]) == "s"]
        assert ((soft > 0.5) & (soft < 1.2) | np.isnan(soft)).all()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*prep3.fits")}


def test_the_same_command_goes_on_where_it_was_and_sees_what_has_changed(one_stack, tmp_path):
    out = tmp_path / "out"
    first = extract_all(one_stack, out)
    whole = files_of(out)
    assert first.kept == 0 and len(whole) == 2
    record = (out / RECORD).read_text().splitlines(keepends=True)
    (out / RECORD).write_text(record[0] + record[1][:40])  # killed while it wrote
    assert extract_all(one_stack, out).kept == 1 and files_of(out) == whole
    assert extract_all(one_stack, out).kept == 2
    (out / sorted(whole)[0]).unlink()
    assert extract_all(one_stack, out).kept == 1 and files_of(out) == whole
    psf = next(one_stack.glob("*_r0001b_psf3.fits"))
    with fits.open(psf, mode="update") as hdus:
        hdus[0].data[:] = np.roll(hdus[0].data, 2, axis=1)
    assert extract_all(one_stack, out).kept == 1
    assert sum(files_of(out)[name] != whole[name] for name in whole) == 1


def test_a_damaged_file_costs_its_own_source_and_no_other(one_stack, tmp_path):
    field = find_field(str(one_stack))
    files = field.observations[0]
    bundles = find_bundles(field.stacks()[files.stack]).bundles
    before = extract_observation(files, bundles, field.settings, str(tmp_path))
    undisturbed = read_prep3(before.path).bundles
    crowd = max(undisturbed.values(), key=lambda bundle: len(bundle.components))
    victim, neighbour = crowd.components[:2]
    path = Path(next(s.psf["b"] for s in files.sources if s.name == victim))
    path.write_bytes(path.read_bytes()[:3000])
    after = extract_observation(files, bundles, field.settings, str(tmp_path))
    assert len(after.faults) == 1 and path.name in after.faults[0]
    found = read_prep3(after.path).bundles
    left = found[crowd.key.bundle]
    assert left.components == tuple(c for c in crowd.components if c != victim)
    assert "neighbour-lost" in after.flags[neighbour]
    for name, bundle in undisturbed.items():
        if name != crowd.key.bundle:
            for matrix, F in bundle.F.items():
                assert np.array_equal(found[name].F[matrix], F)
    Path(files.events).write_bytes(b"SIMPLE  =                    T" + b"\0" * 5000)
    lost = extract_observation(files, bundles, field.settings, str(tmp_path))
    assert not lost.path and len(lost.faults) == 1 and files.events in lost.faults[0]


@pytest.mark.parametrize("kind", ["evt3", "psf3", "exp3", "reg3"])
def test_mutated_files_are_named_or_used_and_never_raise(mock, tmp_path, kind):
    field = find_field(str(mock / "products"))
    files = min(field.observations, key=lambda one: len(one.sources))
    keep = files.sources[:2]
    folder = tmp_path / "files"
    folder.mkdir()
    moved, contents = {}, {}
    for path in {
        p for p in files.files() if any(s.name in p for s in keep) or "_r" not in Path(p).name
    }:
        moved[path] = str(folder / Path(path).name)
        contents[moved[path]] = Path(path).read_bytes()

    def at(value):
        if isinstance(value, str):
            return moved.get(value, value)
        return replace(value, path=moved[value.path])

    sources = tuple(
        replace(
            s,
            aper=at(s.aper),
            background=at(s.background),
            aper90={b: at(r) for b, r in s.aper90.items()},
            psf={b: at(p) for b, p in s.psf.items()},
        )
        for s in keep
    )
    maps = {b: at(p) for b, p in files.maps.items()}
    files = replace(files, sources=sources, events=at(files.events), maps=maps)
    victims = [path for path in contents if kind in path]
    rng = np.random.default_rng([7, *kind.encode()])
    for path, content in contents.items():
        Path(path).write_bytes(content)
    for _ in range(12):
        victim = victims[int(rng.integers(len(victims)))]
        Path(victim).write_bytes(mutated(contents[victim], rng))
        bundles = find_bundles([files]).bundles
        done = extract_observation(files, bundles, field.settings, str(tmp_path))
        assert all(Path(victim).name in f or files.name in f for f in done.faults)
        if done.path and not done.faults:
            read_prep3(done.path)
        Path(victim).write_bytes(contents[victim])


@pytest.mark.mpi
@pytest.mark.skipif(not mpiexec(), reason="no mpiexec")
def test_ranks_write_the_same_files_as_one_process(one_stack, tmp_path):
    done = mpiapp("extract", str(one_stack), str(tmp_path / "ranks"), ranks=3)
    assert done.returncode == 0, done.stderr
    extract_all(one_stack, tmp_path / "alone")
    assert files_of(tmp_path / "ranks") == files_of(tmp_path / "alone")
    again = mpiapp("extract", str(one_stack), str(tmp_path / "ranks"), ranks=2)
    assert "2 observations of them as they were" in again.stdout


class RanksInTurn(World):
    """A world of four workers whose calls are made in this process."""

    n_workers = property(lambda self: 4, lambda self, value: None)


def test_an_observation_is_shared_by_ranks_that_read_its_events_once(mock, tmp_path, monkeypatch):
    field = find_field(str(mock / "products"))
    one = max(field.observations, key=lambda one: len(one.sources))
    field = replace(field, observations=(one,))
    read = []
    monkeypatch.setattr(extraction, "_WORTHWHILE", 3)
    monkeypatch.setattr(
        extraction, "open_observation", lambda *a: read.append(a) or open_observation(*a)
    )
    outs = [tmp_path / "pieces", tmp_path / "whole"]
    found, pieces = [], []
    monkeypatch.setattr(
        extraction, "measure_piece", lambda *a: pieces.append(a) or measure_piece(*a)
    )
    for out, world in zip(outs, (RanksInTurn(), World())):
        assert run(lambda: field, out, world, lambda done, _: found.append(done) or 0) == 0
    assert files_of(outs[0]) == files_of(outs[1]) and len(files_of(outs[0])) == 1
    assert len(pieces) > 3 and len(read) == 1  # for all pieces, and the whole that follows
    assert [(d.source_bands, d.missing, d.flags) for d in found[0].done] == [
        (d.source_bands, d.missing, d.flags) for d in found[1].done
    ]


def test_what_costs_an_observation_is_said_once_of_all_its_pieces(one_stack, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "_WORTHWHILE", 3)
    field = find_field(str(one_stack))
    Path(field.observations[0].events).write_bytes(b"SIMPLE  =                    T")
    found = []
    run(lambda: field, tmp_path, RanksInTurn(), lambda done, _: found.append(done) or 0)
    lost, kept = sorted(found[0].done, key=lambda one: bool(one.path))
    assert len(lost.faults) == 1 and field.observations[0].events in lost.faults[0]
    assert kept.path and not kept.faults
