"""Field files for folders: what `init --from` writes is what the files are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import mpiapp

from mpiapp.catalog.quantities import Matrix
from mpiapp.extract.find import find_field
from mpiapp.files.prep3 import read_prep3
from mpiapp.simulate import PRESETS, simulate

WORDS = {"b": "broad", "s": "soft"}


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Files of one stack of two observations, in two bands, by their names in the catalog."""
    folder = tmp_path_factory.mktemp("mock")
    preset = replace(
        PRESETS["crowded"],
        sources=(6, 6),
        flux=(1e-14, 1e-12),
        stacks=(1, 1),
        obsids=(2, 2),
        bands="bs",
        hrc=0.0,
    )
    simulate(folder, 12, seed=2, preset=preset, events=True)
    return next((folder / "products").iterdir())


def of(products: Path, obsid: str, rest: str) -> Path:
    """A product of an observation."""
    return products / f"acisf{obsid}_000N001_{rest}.fits"


def obsids(products: Path) -> list[str]:
    return sorted(path.name[5:12] for path in products.glob("*_evt3.fits"))


def sources(products: Path, obsid: str) -> list[str]:
    return sorted(path.name[-16:-11] for path in products.glob(f"acisf{obsid}*b_psf3.fits"))


def split_regions(products: Path, name: str, start: Path, ends: tuple[str, str]) -> None:
    """The two regions of a source as files of their own."""
    with fits.open(next(products.glob(f"acisfJ*_{name}_reg3.fits"))) as hdus:
        for hdu, end in zip(("SRCREG", "BKGREG"), ends):
            fits.HDUList([fits.PrimaryHDU(), hdus[hdu].copy()]).writeto(f"{start}{end}.fits")


def srcflux(products: Path, folder: Path, obsid: str, root: str, words=WORDS) -> None:
    """The products of an observation under the names that srcflux gives."""
    for band, word in words.items():
        copy(
            of(products, obsid, f"{band}_exp3"),
            folder / f"{root}{word}_thresh.expmap",
        )
    for name in sources(products, obsid):
        start = f"{root}{name[1:]}"
        split_regions(products, name, folder / start, ("_srcreg", "_bkgreg"))
        for band, word in words.items():
            copy(
                of(products, obsid, f"{name}{band}_psf3"),
                folder / f"{start}_{word}.psf",
            )


def counts(folder: Path) -> dict:
    """Counts of `aper` and F of count rates, by obsid, source and band, of every bundle of one."""
    found = {}
    for path in Path(folder).glob("*prep3.fits"):
        for bundle in read_prep3(path).bundles.values():
            for band, aperture in bundle.counts:
                if aperture == "aper":
                    F = bundle.F[Matrix(band, aperture, "photflux")]
                    for i, name in enumerate(bundle.components):
                        key = bundle.key.obsid, name[-4:], band
                        found[key] = bundle.counts[band, aperture][i], F[i, i]
    return found


@pytest.fixture(scope="module")
def expected(products, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected")
    assert mpiapp("extract", products, out).returncode == 0
    return counts(out)


def same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for key, (n, f) in expected.items():
        assert found[key][0] == n and found[key][1] == pytest.approx(f, rel=1e-12), key


def extracted(field: Path, out: Path) -> dict:
    done = mpiapp("extract", field, out)
    assert done.returncode == 0, done.stderr
    return counts(out)


def test_the_field_file_of_catalog_products_extracts_the_same(products, expected, tmp_path):
    path = tmp_path / "there" / "field.toml"
    path.parent.mkdir()
    assert mpiapp("init", "--from", products, path).returncode == 0
    same(extracted(path, tmp_path / "out"), expected)
    for mine, given in zip(find_field(path).observations, find_field(products).observations):
        files = {Path(name).resolve() for name in mine.files()}
        assert files == {Path(name).resolve() for name in given.files()}


@pytest.mark.parametrize("events", ["beside", "above", "named"])
def test_a_folder_of_srcflux_is_understood_by_its_names(products, expected, events, tmp_path):
    obsid = obsids(products)[0]
    folder = tmp_path / "flux"
    folder.mkdir()
    srcflux(products, folder, obsid, "mine_")
    place = {"beside": folder, "above": tmp_path, "named": tmp_path / "repro"}[events]
    place.mkdir(exist_ok=True)
    path = place / f"acisf{obsid}_repro_evt2.fits"
    copy(of(products, obsid, "evt3"), path)
    if events == "named":
        header = fits.Header({"OBS_ID": obsid})
        header.add_history(f"infile = {path.name}")
        path = path.replace(folder.parent / path.name)
        copy(products / f"acisf{obsids(products)[1]}_000N001_evt3.fits", folder / "other_evt2.fits")
        table = fits.BinTableHDU.from_columns([fits.Column("COMPONENT", "J", array=[1])], header)
        table.writeto(folder / "mine_broad.flux")
    assert mpiapp("init", "--from", folder, tmp_path / "field.toml").returncode == 0
    wanted = {key: value for key, value in expected.items() if key[0] == obsid}
    same(extracted(folder, tmp_path / "out"), wanted)
    same(extracted(tmp_path / "field.toml", tmp_path / "again"), wanted)


def test_observations_of_one_srcflux_job_are_a_stack(products, expected, tmp_path):
    for i, obsid in enumerate(obsids(products), 1):
        srcflux(products, tmp_path, obsid, f"mine_obi{i:03d}_")
        maps = tmp_path / f"mine_obi{i:03d}_broad.flux"
        fits.BinTableHDU.from_columns([], fits.Header({"OBS_ID": obsid})).writeto(maps)
        copy(of(products, obsid, "evt3"), tmp_path / f"acisf{obsid}_evt2.fits")
    field = find_field(tmp_path)
    assert [one.name for one in field.observations] == [f"mine/{o}" for o in obsids(products)]
    same(extracted(tmp_path, tmp_path / "out"), expected)


@pytest.mark.parametrize("whole", [False, True], ids=["a file a source", "a file of all"])
def test_psf_fractions_of_srcflux_serve_where_there_are_no_psf_images(products, whole, tmp_path):
    obsid = obsids(products)[0]
    srcflux(products, tmp_path, obsid, "")
    copy(of(products, obsid, "evt3"), tmp_path / "evt2.fits")
    fractions = {}
    for i, path in enumerate(sorted(tmp_path.glob("*.psf"))):
        fractions[tuple(path.stem.split("_"))] = 0.8 + 0.01 * i
        path.unlink()
    rows = {f"{name}_{word}": [(int(name), f, 0.02)] for (name, word), f in fractions.items()}
    if whole:
        rows = {word: [r[0] for key, r in rows.items() if word in key] for word in WORDS.values()}
    for name, found in rows.items():
        table = Table(rows=found[::-1], names=["COMPONENT", "PSFFRAC", "BG_PSFFRAC"])
        table.write(tmp_path / f"{name}.flux", format="fits")
    done = mpiapp("extract", tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    checked = 0
    for path in (tmp_path / "out").glob("*prep3.fits"):
        for bundle in read_prep3(path).bundles.values():
            for band, word in WORDS.items():
                F = bundle.F[Matrix(band, "aper", "cnts")]
                for i, name in enumerate(bundle.components):
                    assert F[i, i] == pytest.approx(fractions[name, word], rel=1e-3)
                    assert F[-1, i] == pytest.approx(0.02, rel=1e-3)
                    checked += 1
    assert checked == len(fractions)


def test_files_of_ones_own_are_found_by_the_words_in_their_names(products, expected, tmp_path):
    """Circles of DS9 for all observations; what is missing is in the file in comments."""
    folder = tmp_path / "field"
    folder.mkdir()
    lines, plain = ["physical"], []
    for path in sorted(products.glob("acisfJ*_reg3.fits")):
        table, name = Table.read(path, hdu="SRCREG"), path.name[-15:-10]
        lines.append(
            f"circle({table['X'][0]},{table['Y'][0]},{table['R'][0][0]}) # text={{{name}}}"
        )
        plain += [name] if len(table) == 1 else []  # without holes for neighbours
    (folder / "src.reg").write_text("\n".join(lines) + "\n")
    for obsid in obsids(products):
        copy(of(products, obsid, "evt3"), folder / f"acisf{obsid}_repro_evt2.fits")
        for band, word in WORDS.items():
            copy(
                of(products, obsid, f"{band}_exp3"),
                folder / f"{obsid}_{word}.expmap",
            )
            for name in sources(products, obsid):
                copy(
                    of(products, obsid, f"{name}{band}_psf3"),
                    folder / f"{obsid}_{name}_{word}.psf.fits",
                )
    path = tmp_path / "field.toml"
    done = mpiapp("init", "--from", folder, path)
    assert "not found by their names: background" in done.stdout
    assert '# background = ""' in path.read_text()
    refused = mpiapp("extract", folder, tmp_path / "no")
    assert refused.returncode == 2 and "no background" in refused.stderr
    (folder / "bkg.reg").write_text("physical\nannulus(4096.5,4096.5,100,800)\n")
    path.unlink()
    assert mpiapp("init", "--from", folder, path).returncode == 0
    found = extracted(path, tmp_path / "out")
    assert found.keys() == expected.keys()
    assert len(plain) > 1
    for key, (n, f) in expected.items():
        if f"r{key[1]}" in plain:
            assert found[key][0] == n and found[key][1] == pytest.approx(f, rel=1e-6)


def test_each_source_may_have_region_files_of_its_own(products, expected, tmp_path):
    obsid = obsids(products)[0]
    for name in sources(products, obsid):
        split_regions(products, name, tmp_path / name, ("_src", "_bkg"))
        for band in WORDS:
            copy(
                of(products, obsid, f"{name}{band}_psf3"),
                tmp_path / f"{name}_{band}_psf.fits",
            )
    for band in WORDS:
        copy(of(products, obsid, f"{band}_exp3"), tmp_path / f"{band}_expmap.fits")
    copy(of(products, obsid, "evt3"), tmp_path / "evt2.fits")
    found = extracted(tmp_path, tmp_path / "out")
    same(found, {key: value for key, value in expected.items() if key[0] == obsid})


def test_bands_of_ones_own_are_named_by_their_limits_as_srcflux_does(products, expected, tmp_path):
    obsid = obsids(products)[0]
    srcflux(products, tmp_path, obsid, "mine_", {"b": "0.5-2", "s": "2-7.0"})
    copy(of(products, obsid, "evt3"), tmp_path / f"acisf{obsid}_evt2.fits")
    found = extracted(tmp_path, tmp_path / "out")
    of_obsid = {key: value for key, value in expected.items() if key[0] == obsid}
    assert len(found) == len(of_obsid) > 0
    for (_, name, band), (n, f) in of_obsid.items():
        own = {"b": "0.5-2", "s": "2-7.0"}[band]
        assert found[obsid, name, own][1] == pytest.approx(f, rel=1e-12)
        if band == "b":  # of 0.5 to 7 keV
            assert n == sum(found[obsid, name, one][0] for one in ("0.5-2", "2-7.0"))
    assert mpiapp("init", "--from", tmp_path, tmp_path / "field.toml").returncode == 0
    same(extracted(tmp_path / "field.toml", tmp_path / "again"), found)


def test_a_field_file_is_never_written_over(products, tmp_path):
    (tmp_path / "field.toml").write_text("mine")
    assert mpiapp("init", "--from", products, tmp_path / "field.toml").returncode == 2
    assert (tmp_path / "field.toml").read_text() == "mine"
    assert mpiapp("init").returncode == 2
    assert mpiapp("init", "--from", tmp_path / "nowhere", tmp_path / "new.toml").returncode == 2
