"""Writing prep3 files; the layout is described in `prep3` and docs/files.md."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

import numpy as np

from .._version import __version__
from ..catalog.bundle import Bundle, InputError, check_matrices
from ..catalog.names import encode_name
from ..catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES
from .fitswrite import Column, primary_hdu, replace_file, table_hdu
from .prep3 import VERSION
from .prep3_tables import BACKGROUND, Matrix

F_UNITS = {
    "flux": "count erg-1 s cm2",
    "photflux": "count photon-1 s cm2",
    "rate": "s",
    "cnts": "",
}


def write_prep3(
    path: str | os.PathLike,
    stack: str,
    obsid: str,
    instrument: str,
    bundles: Iterable[Bundle],
    exposure_s: float | None = None,
    creator: str = f"mpiapp {__version__}",
) -> None:
    """Write one obsid's bundles; `path` appears only when the file is complete.

    Raises
    ------
    InputError
        If a bundle belongs to another obsid, holds impossible counts or
        matrices, or shares its name with another.
    """
    bundles = list(bundles)
    cards = [
        ("CREATOR", creator, "program that wrote the file"),
        ("PREP3VER", VERSION, "layout of this file"),
        ("STACKID", encode_name(stack).decode(), "stack"),
        ("OBS_ID", encode_name(obsid).decode(), "observation"),
        ("INSTRUME", instrument, "instrument"),
    ]
    if instrument not in INSTRUMENT_BANDS:
        raise InputError(
            f"instrument {instrument!r}, expected one of {', '.join(INSTRUMENT_BANDS)}"
        )
    if exposure_s is not None:
        if not 0 <= exposure_s < math.inf:
            raise InputError(f"exposure {exposure_s}, expected seconds, or None if unknown")
        cards.append(("EXPOSURE", float(exposure_s), "[s] exposure"))
    _check_bundles(stack, obsid, instrument, bundles)
    hdus = [primary_hdu(cards), _srcprop_hdu(bundles)]
    names = [encode_name(b.key.bundle) for b in bundles]
    for quantity in QUANTITIES:
        for band in INSTRUMENT_BANDS[instrument]:
            for aperture in APERTURES:
                kind = Matrix(quantity, band, aperture)
                has = [i for i, b in enumerate(bundles) if kind in b.F]
                if has:
                    rows = [(names[i], len(bundles[i].components), bundles[i].F[kind]) for i in has]
                    hdus.append(_psf_hdu(kind, rows))
    if len(hdus) == 2:
        raise InputError(f"{path}: no bundle with a matrix; a prep3 file needs one")
    replace_file(path, hdus)


def _check_bundles(stack: str, obsid: str, instrument: str, bundles: list[Bundle]) -> None:
    seen = set()
    for bundle in bundles:
        if bundle.key[:2] != (stack, obsid) or bundle.instrument != instrument:
            raise InputError(
                f"bundle {bundle.key} ({bundle.instrument}) does not belong into the file of "
                f"{stack}/{obsid} ({instrument})"
            )
        names = bundle.components
        if bundle.key.bundle in seen:
            raise InputError(f"bundle {bundle.key} is there twice")
        if not names or len(set(names)) < len(names) or BACKGROUND in names:
            raise InputError(
                f"bundle {bundle.key}: its components must be named, differently, and not "
                f"{BACKGROUND!r}: {names}"
            )
        seen.add(bundle.key.bundle)
        for band, aperture in bundle.counts:
            if band not in INSTRUMENT_BANDS[instrument] or aperture not in APERTURES:
                raise InputError(f"bundle {bundle.key}: no band {band}, {aperture} ({instrument})")
        for quantity, band, aperture in bundle.F:
            where = f"bundle {bundle.key}, {quantity}, band {band}, {aperture}"
            if quantity not in QUANTITIES or (band, aperture) not in bundle.counts:
                raise InputError(f"{where}: unknown quantity, or no counts for it")
            try:
                check_matrices(
                    bundle.counts[band, aperture], bundle.F[quantity, band, aperture], len(names)
                )
            except InputError as error:
                raise InputError(f"{where}: {error}") from None


def _srcprop_hdu(bundles: list[Bundle]) -> bytes:
    names, components, bands, apertures, counts = [], [], [], [], []
    for bundle in bundles:
        name = encode_name(bundle.key.bundle)
        sources = [*map(encode_name, bundle.components), BACKGROUND.encode()]
        for (band, aperture), values in bundle.counts.items():
            names += [name] * len(sources)
            components += sources
            bands += [band.encode()] * len(sources)
            apertures += [aperture.encode()] * len(sources)
            counts.append(values)
    return table_hdu(
        "SRCPROP",
        [
            Column("bundle", np.array(names)),
            Column("component", np.array(components), comment=f"region; {BACKGROUND} last"),
            Column("band", np.array(bands)),
            Column("aperture", np.array(apertures)),
            Column("counts", np.concatenate(counts or [np.zeros(0, int)]), "count", "raw counts"),
        ],
    )


def _psf_hdu(kind: Matrix, rows: list[tuple[bytes, int, np.ndarray]]) -> bytes:
    names, sizes, matrices = zip(*rows)
    return table_hdu(
        "PSF_" + "_".join(kind).upper(),
        [
            Column("bundle", np.array(names)),
            Column("n", np.array(sizes), comment="number of components"),
            Column("F", list(matrices), F_UNITS[kind.quantity], "(n+1) x (n+1), row after row"),
        ],
        [
            ("QUANTITY", kind.quantity, QUANTITIES[kind.quantity].description),
            ("BAND", kind.band, ""),
            ("APERTURE", kind.aperture, ""),
        ],
    )
