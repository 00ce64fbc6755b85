"""Published rows of the catalog, as arrays: counts, four quantities, hardness and variability.

A row is a detection in one observation, with the catalog's column names (`cnts_aper_b`,
`src_cnts_aper_lolim_b`, …).  What a table lacks, or what makes no sense, is NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalog.fault import InputError
from ..catalog.quantities import APERTURES, BANDS, HARDNESS, TABLE_1
from ..files.catalog_tables import read_table

NUMBERS = ("", "_lolim", "_hilim")
VARIABILITY = ("prob", "index", "sigma")


class RealRows(NamedTuple):
    """n detections and apertures.

    counts : (n, bands, 2) of the source and background aperture
    published : (n, quantities, bands, 3) value, lolim and hilim, value 0 for a limit
    livetime : (n,) s
    aperture, name, label : (n,) text; name is the master source's, label tells the row
    is_unique : (n,) whether the detection is matched to its master source alone
    hardness : pair to (n, 3); variability : band to (n, 3) of VARIABILITY, of the master source
    master_flux : (n, 3) energy flux of the master source in band b
    significance : (n,) in band b
    ignored : number of cells that make no sense
    """

    path: Path
    counts: np.ndarray
    published: np.ndarray
    livetime: np.ndarray
    aperture: np.ndarray
    name: np.ndarray
    label: np.ndarray
    is_unique: np.ndarray
    hardness: dict[str, np.ndarray]
    variability: dict[str, np.ndarray]
    master_flux: np.ndarray
    significance: np.ndarray
    ignored: int


def read_rows(path: str | Path) -> RealRows:
    """The rows of a table in any format that `mpiapp measure` reads.

    Raises InputError if it is no table, or has no counts with published net counts.
    """
    counted = {"cnts_aper_b", "cnts_aper_w"}
    table = read_table(path, lambda names: bool(counted & set(map(str.lower, names)))).table
    lower = [name.lower() for name in table.colnames]
    if len(set(lower)) == len(lower):
        table.rename_columns(table.colnames, lower)
    n = len(table)

    def numbers(name: str) -> np.ndarray:
        if name not in table.colnames or table[name].dtype.kind not in "iufb":
            return np.full(n, np.nan)
        return np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)

    def words(name: str) -> np.ndarray:
        if name not in table.colnames:
            return np.full(n, "")
        return np.char.strip(np.ma.filled(np.ma.asarray(table[name]).astype(str), ""))

    def three(stem: str, rest: str = "") -> np.ndarray:
        return np.stack([numbers(f"{stem}{end}{rest}") for end in NUMBERS], axis=-1)

    parts, ignored = [], 0
    for aperture in APERTURES:
        counts = np.stack(
            [[numbers(f"cnts_{aperture}{which}_{b}") for which in ("", "bkg")] for b in BANDS]
        ).transpose(2, 0, 1)
        published = np.stack(
            [
                [three(f"{q.column}_{aperture}", f"_{band}") for band in BANDS]
                for q in TABLE_1.values()
            ]
        ).transpose(2, 0, 1, 3)
        ignored += _drop_nonsense(counts, published)
        some = np.flatnonzero(np.isfinite(counts).all(axis=2).any(axis=1))
        parts.append((aperture, some, counts[some], published[some]))
    rows = np.concatenate([some for _, some, _, _ in parts])
    published = np.concatenate([p for *_, p in parts])
    if not len(rows) or not np.isfinite(published[..., 0]).any():
        raise InputError(
            f"{path}: no row with counts and published numbers; expected columns of the catalog "
            "such as cnts_aper_b, cnts_aperbkg_b, src_cnts_aper_b, src_cnts_aper_lolim_b and "
            "src_cnts_aper_hilim_b"
        )
    keys = [words(name) for name in ("detect_stack_id", "obsid", "region_id") if len(words(name))]
    label = np.array(["/".join(filter(None, row)) for row in zip(*keys)])
    master = words("name") if (words("name") != "").any() else label
    match = words("match_type")
    return RealRows(
        Path(path),
        np.concatenate([c for _, _, c, _ in parts]),
        published,
        numbers("livetime")[rows],
        np.concatenate([np.full(len(some), aperture) for aperture, some, _, _ in parts]),
        master[rows],
        label[rows],
        np.isin(match, ("u", ""))[rows],
        {pair: three(f"hard_{pair}")[rows] for pair in HARDNESS},
        {
            band: np.stack([numbers(f"var_inter_{v}_{band}") for v in VARIABILITY], axis=-1)[rows]
            for band in BANDS
        },
        three("mstr_flux_aper", "_b")[rows],
        numbers("flux_significance_b")[rows],
        ignored,
    )


def _drop_nonsense(counts: np.ndarray, published: np.ndarray) -> int:
    """Make NaN of what is no count or no result; how many cells that were."""
    with np.errstate(invalid="ignore"):
        wrong = ~((counts >= 0) & (counts == np.floor(counts)) & (counts < 1e9)).all(axis=2)
        value, low, high = np.moveaxis(published, -1, 0)
        bad = ~((low >= 0) & (low <= value) & (value <= high) & (high > low))
        bad &= np.isfinite(published).any(axis=-1)
    there = np.isfinite(counts).any(axis=2)
    counts[wrong] = np.nan
    published[bad | ~np.isfinite(published).all(axis=-1)] = np.nan
    published[np.broadcast_to(wrong[:, None], bad.shape)] = np.nan
    return int((wrong & there).sum() + bad.sum())
