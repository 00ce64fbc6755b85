"""Small valid rows, bundles, prep3 and mst3 files for the tests, and a way to damage them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import Matrix
from mpiapp.files.mst3 import write_mst3
from mpiapp.files.prep3_write import write_prep3

# A row of a table of counts.
PAIR = {
    "obsid": "7999",
    "stack": "S1",
    "component": "r1",
    "instrument": "ACIS",
    "band": "b",
    "aperture": "aper",
    "cnts": 51,
    "cnts_bkg": 692,
    "psf_frac": 0.939086,
    "psf_frac_bkg": 0.049395,
    "area": 1791.0,
    "area_bkg": 42634.0,
}
KINDS = [
    Matrix(band, aperture, quantity)
    for quantity in ("photflux", "cnts")
    for band in ("b", "s")
    for aperture in ("aper", "aper90")
]
LINKS = [
    ("M1", "u", "S1", "r1"),
    ("M1", "u", "S2", "r3"),
    ("M2", "u", "S1", "r2"),
    ("M2", "n", "S2", ""),
    ("M3", "a", "S2", "r4"),
    ("M4", "a", "S2", "r4"),
    ("M4", "u", "S1", "r5"),
]
BLOCKS = [
    ("M1", 1, "S1", "O1", None),
    ("M1", 2, "S2", "O2", 5000.0),
    ("M2", 1, "S1", "O1", None),
    ("M4", 1, "S1", "O1", 100.0),
]


def make_bundle(
    name: str, components: tuple[str, ...], seed: int = 0, obsid: str = "O1", kinds=KINDS
) -> Bundle:
    """An ACIS bundle of stack S1 with random counts and matrices."""
    rng = np.random.default_rng(seed)
    n = len(components) + 1
    counts = {kind[:2]: rng.integers(0, 50, n) for kind in kinds}
    F = {kind: rng.uniform(0.01, 1, (n, n)) * 10.0 ** rng.integers(0, 11) for kind in kinds}
    return Bundle(ObsidBundle("S1", obsid, name), "ACIS", components, counts, F)


def three_bundles() -> list[Bundle]:
    """Bundles of one, two and three components."""
    return [
        make_bundle("b1", ("r1",), 1),
        make_bundle("b2", ("r2", "r5"), 2),
        make_bundle("b3", ("r6", "r7", "r8"), 3),
    ]


def write_example(path: Path, bundles: list[Bundle] | None = None) -> Path:
    """A prep3 file of S1/O1."""
    write_prep3(path, "S1", "O1", "ACIS", bundles or three_bundles(), 37664.157219)
    return path


def write_example_masters(path: Path) -> Path:
    """An mst3 file with every match type, and blocks."""
    write_mst3(path, LINKS, BLOCKS)
    return path


def damage(path: Path, change) -> None:
    """Let `change` edit the HDU list, then write it back without checksums.

    astropy 6.0 writes checksums that do not fit when variable-length arrays
    have been read.
    """
    with fits.open(path, mode="readonly", memmap=False) as hdus:
        for hdu in hdus:
            hdu.data  # noqa: B018  read before the file is replaced
            for keyword in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(keyword, ignore_missing=True)
        change(hdus)
        hdus.writeto(path, overwrite=True)


def same_bundle(a: Bundle, b: Bundle) -> bool:
    """Whether two bundles hold the same numbers bit for bit."""
    return (
        (a.key, a.instrument, a.components) == (b.key, b.instrument, b.components)
        and a.counts.keys() == b.counts.keys()
        and a.F.keys() == b.F.keys()
        and all(np.array_equal(a.counts[k], b.counts[k]) for k in a.counts)
        and all(np.array_equal(a.F[k], b.F[k]) for k in a.F)
    )
