"""Writing prep3 files; the layout is described in `prep3` and docs/prep3.md."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from astropy.io import fits

from .._version import __version__
from ..catalog.bundle import Bundle, check_matrices, check_values
from ..catalog.fault import InputError
from ..catalog.instruments import band_problem, instrument_problem
from ..catalog.names import check_name, target_problem
from ..catalog.quantities import APERTURES, TABLE_1, Matrix
from .fits_write import Field, table_hdu, text_array, write_hdus
from .prep3 import VERSION
from .prep3_tables import BACKGROUND
from .source_info import InfoRow, info_hdu


def write_prep3(
    path: str | os.PathLike,
    stack: str,
    obsid: str,
    instrument: str,
    bundles: Iterable[Bundle],
    exposure: float | None = None,
    info: Sequence[InfoRow] = (),
    mjd: float | None = None,
) -> None:
    """Write one obsid's bundles; `path` appears only when the file is complete.

    info : what else is known of its sources (`source_info`); exposure in s, mjd the start of the
    observation, None if unknown

    Raises
    ------
    InputError
        If a name is none, or a bundle belongs to another obsid, holds
        impossible counts or matrices, or shares its name with another.
    """
    bundles = list(bundles)
    if problem := instrument_problem(instrument):
        raise InputError(f"instrument {instrument!r} {problem}")
    if exposure is not None and not 0 <= exposure < math.inf:
        raise InputError(f"exposure {exposure}, expected seconds, or None if unknown")
    if mjd is not None and not 0 <= mjd < math.inf:
        raise InputError(f"mjd {mjd}, expected a Modified Julian Date, or None if unknown")
    _check_bundles(stack, obsid, instrument, bundles)
    primary = fits.PrimaryHDU()
    primary.header.extend(
        [
            ("CREATOR", f"mpiapp {__version__}", "program that wrote the file"),
            ("PREP3VER", VERSION, "layout of this file"),
            ("STACKID", check_name(stack), "stack"),
            ("OBS_ID", check_name(obsid), "observation"),
            ("INSTRUME", instrument, "instrument"),
        ]
    )
    if exposure is not None:
        primary.header["EXPOSURE"] = (float(exposure), "[s] exposure")
    if mjd is not None:
        primary.header["MJD-OBS"] = (float(mjd), "[d] start of the observation")
    groups = [(bundle, *pair) for bundle in bundles for pair in bundle.counts]
    psf = _psf_hdus(groups)
    if not psf:
        raise InputError(f"{path}: no bundle with a matrix; a prep3 file needs one")
    others = info_hdu(info)
    write_hdus(path, [primary, _srcprop_hdu(groups), *psf, *([others] if others else [])])


def _check_bundles(stack: str, obsid: str, instrument: str, bundles: list[Bundle]) -> None:
    seen = set()
    alike: dict[tuple, list[tuple[Bundle, Matrix]]] = defaultdict(list)
    for bundle in bundles:
        if bundle.key[:2] != (stack, obsid) or bundle.instrument != instrument:
            raise InputError(
                f"bundle {bundle.key} ({bundle.instrument}) does not belong into the file of "
                f"{stack}/{obsid} ({instrument})"
            )
        names = bundle.components
        for name in (bundle.key.bundle, *names):
            check_name(name)
        if problem := target_problem(*bundle.key):
            raise InputError(problem)
        if bundle.key.bundle in seen:
            raise InputError(f"bundle {bundle.key} is there twice")
        if not names or len(set(names)) < len(names) or BACKGROUND in names:
            raise InputError(
                f"bundle {bundle.key}: its components must be named, differently, and not "
                f"{BACKGROUND!r}: {names}"
            )
        seen.add(bundle.key.bundle)
        for band, aperture in bundle.counts:
            if band_problem(band, instrument) or aperture not in APERTURES:
                raise InputError(f"bundle {bundle.key}: no band {band}, {aperture} ({instrument})")
        for matrix, F in bundle.F.items():
            if matrix[2] not in TABLE_1 or matrix[:2] not in bundle.counts:
                raise InputError(f"{_where(bundle, matrix)}: unknown quantity, or no counts for it")
            alike[len(names), bundle.counts[matrix[:2]].shape, F.shape].append((bundle, matrix))
    for (n, *_), group in alike.items():
        _check_alike(n, group)


def _where(bundle: Bundle, matrix: Matrix) -> str:
    band, aperture, quantity = matrix
    return f"bundle {bundle.key}, {quantity}, band {band}, {aperture}"


def _check_alike(n: int, group: list[tuple[Bundle, Matrix]]) -> None:
    """As `check_matrices` for all of the group, whose arrays have the same shapes."""
    counts = np.array([bundle.counts[matrix[:2]] for bundle, matrix in group])
    F = np.array([bundle.F[matrix] for bundle, matrix in group])
    if counts.shape[1:] == (n + 1,) and F.shape[1:] == (n + 1, n + 1):
        try:
            return check_values(counts, F)
        except InputError:
            pass  # the first of them is named below
    for bundle, matrix in group:
        try:
            check_matrices(bundle.counts[matrix[:2]], bundle.F[matrix], n)
        except InputError as error:
            raise InputError(f"{_where(bundle, matrix)}: {error}") from None
    return None


def _srcprop_hdu(groups: Sequence[tuple[Bundle, str, str]]) -> fits.BinTableHDU:
    rows = [
        (bundle.key.bundle, band, aperture, component, count)
        for bundle, band, aperture in groups
        for component, count in zip(
            (*bundle.components, BACKGROUND), bundle.counts[band, aperture].tolist()
        )
    ]
    names, bands, apertures, components, counts = zip(*rows)
    return table_hdu(
        "SRCPROP",
        [
            Field("bundle", text_array(names)),
            Field("band", text_array(bands)),
            Field("aperture", text_array(apertures)),
            Field("component", text_array(components), comment=f"region; {BACKGROUND} last"),
            Field("counts", np.array(counts, dtype=np.int64), "count", "raw counts"),
        ],
    )


def _psf_hdus(groups: Sequence[tuple[Bundle, str, str]]) -> list[fits.BinTableHDU]:
    sizes = [len(bundle.components) + 1 for bundle, _, _ in groups]
    stops = np.cumsum(sizes, dtype=np.int64).tolist()
    stop_of = {(b.key.bundle, *pair): stop for (b, *pair), stop in zip(groups, stops)}
    tables: dict[str, np.ndarray] = {}
    for bundle in {bundle.key.bundle: bundle for bundle, _, _ in groups}.values():
        size = len(bundle.components) + 1
        for (*pair, quantity), values in bundle.F.items():
            if quantity not in tables:
                tables[quantity] = np.full((stops[-1], max(sizes)), np.nan)
            stop = stop_of[(bundle.key.bundle, *pair)]
            tables[quantity][stop - size : stop, :size] = values
    comment = "column per component, the background's last"
    return [
        table_hdu(f"PSF_{name}".upper(), [Field("F", tables[name], q.exposure_unit, comment)])
        for name, q in TABLE_1.items()
        if name in tables
    ]
