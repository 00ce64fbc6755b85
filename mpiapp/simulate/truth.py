"""Truth tables of simulated catalogs, written row by row to FITS."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from astropy.io import fits

BLOCK = 2880
_FORMS = {"i": "K", "f": "D"}


class TableStream:
    """A FITS binary table that grows; the number of rows is filled in when it closes.

    `columns` are (name, numpy type, unit).
    """

    def __init__(self, path: str | os.PathLike, name: str, columns: Sequence[tuple[str, str, str]]):
        self._types = np.dtype([(n, np.dtype(t).newbyteorder(">")) for n, t, _ in columns])
        self._name, self._columns = name, columns
        self._rows = 0
        self._file = open(path, "wb")  # noqa: SIM115  closed by `close`
        try:
            self._file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
            self._start = self._file.tell()
            self._file.write(self._header())
        except OSError:
            self._file.raw.close()
            raise

    def append(self, **columns) -> None:
        """Add rows; columns of length one are repeated."""
        n = max(np.size(values) for values in columns.values())
        rows = np.empty(n, self._types)
        for name, values in columns.items():
            rows[name] = values
        self._file.write(rows.tobytes())
        self._rows += n

    def close(self) -> None:
        """Fill the last block and the number of rows."""
        with self._file:
            self._file.write(b"\0" * (-self._file.tell() % BLOCK))
            self._file.seek(self._start)
            self._file.write(self._header())

    def _header(self) -> bytes:
        cards = [
            ("XTENSION", "BINTABLE"),
            ("BITPIX", 8),
            ("NAXIS", 2),
            ("NAXIS1", self._types.itemsize),
            ("NAXIS2", self._rows),
            ("PCOUNT", 0),
            ("GCOUNT", 1),
            ("TFIELDS", len(self._columns)),
        ]
        for i, (name, kind, unit) in enumerate(self._columns, 1):
            kind = np.dtype(kind)
            cards.append((f"TTYPE{i}", name))
            cards.append((f"TFORM{i}", _FORMS.get(kind.kind, f"{kind.itemsize}A")))
            if unit:
                cards.append((f"TUNIT{i}", unit))
        cards.append(("EXTNAME", self._name))
        return fits.Header(cards).tostring().encode("ascii")
