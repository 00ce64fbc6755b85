"""prep3 files of layout 1, as astropy writes them: what other programs may still have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from mpiapp.catalog.bundle import Bundle


def write_layout1(path: Path, bundles: list[Bundle], exposure: float) -> Path:
    """One obsid's bundles, a PSF extension for each kind of matrix."""
    key = bundles[0].key
    primary = fits.PrimaryHDU()
    primary.header["STACKID"], primary.header["OBS_ID"] = key.stack, key.obsid
    primary.header["INSTRUME"], primary.header["EXPOSURE"] = bundles[0].instrument, exposure
    primary.header["PREP3VER"] = 1
    rows = [
        (b.key.bundle, component, *pair, count)
        for b in bundles
        for pair, counts in b.counts.items()
        for component, count in zip((*b.components, "background"), counts)
    ]
    names = ("bundle", "component", "band", "aperture", "counts")
    columns = [
        fits.Column(name, "K" if name == "counts" else "20A", array=np.array(values))
        for name, values in zip(names, zip(*rows))
    ]
    hdus = [primary, fits.BinTableHDU.from_columns(columns, name="SRCPROP")]
    for matrix in dict.fromkeys(matrix for b in bundles for matrix in b.F):
        having = [b for b in bundles if matrix in b.F]
        arrays = np.empty(len(having), dtype=object)
        arrays[:] = [b.F[matrix].ravel() for b in having]
        columns = [
            fits.Column("bundle", "20A", array=np.array([b.key.bundle for b in having])),
            fits.Column("n", "K", array=np.array([len(b.components) for b in having])),
            fits.Column("F", "QD()", array=arrays),
        ]
        name = f"PSF_{matrix.quantity}_{matrix.band}_{matrix.aperture}".upper()
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
        for keyword, value in zip(("BAND", "APERTURE", "QUANTITY"), matrix):
            hdus[-1].header[keyword] = value
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path
