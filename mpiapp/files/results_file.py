"""One HDF5 file of results, whole or a part, of any schema that this version reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from ..catalog.quantities import APERTURES, LEVELS, QUANTITIES
from .hdf5_columns import column_pieces, has_strips
from .hdf5_tables import decoded, wrong_with
from .schema import CHUNK_ROWS, OPTIONAL, TABLES, Column, ResultsError

_WORDS = {"level": LEVELS, "aperture": APERTURES, "quantity": QUANTITIES}
_WORDS = {column: {word.encode() for word in words} for column, words in _WORDS.items()}


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Errors of HDF5 and numpy inside, as a ResultsError that names the damaged place."""
    try:
        yield
    except ResultsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ResultsError(
            f"{path}: {what} cannot be read ({reason}); it is damaged or no results file: restore "
            "it, or measure again"
        ) from error


class ResultsFile:
    """A file of this version's schema; use `open_results`.

    Any method may raise ResultsError, where the file is damaged.
    """

    columns: ClassVar[dict[str, Sequence[Column]]] = {
        name: columns for name, (columns, _) in TABLES.items()
    }
    text_kind = "S"  # numpy's for free text

    def __init__(self, file: h5py.File, path: Path, is_part: bool):
        self.file = file
        self.path = path
        self._tables: dict[str, h5py.Dataset | None] = {}
        for name in TABLES:
            if name not in file and (is_part or name in OPTIONAL):
                self._tables[name] = None
            elif not is_part:
                self.dataset(name)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def dataset(self, name: str) -> h5py.Dataset | None:
        """A table as HDF5 has it, its layout checked; None if there is none."""
        if name not in self._tables:
            with readable(self.path, f"/{name}"):
                reason = wrong_with(self.file, name, self.columns[name], self.text_kind)
            if reason:
                raise ResultsError(
                    f"{self.path}: /{name} {reason}; the file is damaged or no results file: "
                    "restore it"
                )
            self._tables[name] = self.file[name]
        return self._tables[name]

    def n_rows(self, name: str) -> int:
        """Rows of a table."""
        table = self.dataset(name)
        return 0 if table is None else len(table)

    def rows(
        self, name: str, start: int, stop: int, columns: Sequence[str] | None = None
    ) -> np.ndarray:
        """Some rows of a table, free text as str; only these columns of them, if they are named."""
        with readable(self.path, f"/{name}"):
            table = self.dataset(name)
            return self._read((table.fields(list(columns)) if columns else table)[start:stop], name)

    def column(self, name: str, column: str) -> np.ndarray:
        """One column of a table without text, all rows of it."""
        with readable(self.path, f"/{name}"):
            return self.dataset(name).fields(column)[:]

    def chunks(self, name: str, rows: int, columns: Sequence[str] | None) -> Iterator[np.ndarray]:
        """The rows of a table, so many at a time; or only some columns of them."""
        table = self.dataset(name)
        with readable(self.path, f"/{name}"):
            if has_strips(table):
                for found in column_pieces(table, columns, rows):
                    yield self._read(found, name)
                return
        for start in range(0, len(table), rows):
            yield self.rows(name, start, start + rows, columns)

    def is_packed(self, name: str) -> bool:
        """Whether the chunks of a table of runs are as this version writes them."""
        table = self.dataset(name)
        now = np.dtype([(c.name, c.dtype) for c in TABLES[name][0]])
        if table is None:  # no rows
            return True
        return table.dtype == now and table.chunks == (CHUNK_ROWS,) and has_strips(table)

    def raw_chunks(self, name: str, start: int, stop: int) -> list[tuple[int, bytes]]:
        """The chunks with these rows, not inflated, and the filters that each did without."""
        with readable(self.path, f"/{name}"):
            table = self.dataset(name)
            return [table.id.read_direct_chunk((at,)) for at in range(start, stop, CHUNK_ROWS)]

    def _read(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Rows as they are handed on, their text checked."""
        free = {c.name for c in self.columns[name] if c.dtype == "text"}
        texts = [n for n in rows.dtype.names if rows.dtype[n].kind == "S"]
        for n in (n for n in texts if n not in free):
            words = _WORDS.get(n) if name == "photometry" else None
            if words and (unknown := set(rows[n].tolist()) - words):
                raise ValueError(f"column {n} holds {min(unknown)!r}")
            if not rows[n].tobytes().isascii():
                for value in rows[n].tolist():
                    value.decode()
        if not free.intersection(texts):
            return rows
        kinds = [(n, "O" if n in free else rows.dtype[n]) for n in rows.dtype.names]
        out = np.empty(len(rows), kinds)
        for n in rows.dtype.names:
            out[n] = decoded(rows[n]) if n in texts and n in free else rows[n]
        return out
