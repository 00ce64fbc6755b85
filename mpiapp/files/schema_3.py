"""Reading results of schema 3, as they were until row numbers and text of any length went.

/runs had the column `first_row`, `row` of /mpdf counted in /photometry, and free text was of
variable length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from .results_file import ResultsFile, readable
from .schema import MPDF, RUNS, TABLES, Column

_RUNS = (*RUNS[:-1], Column("first_row", "u8", "first row in /photometry"), RUNS[-1])
_MPDF = tuple(c._replace(dtype="u8") if c.name == "row" else c for c in MPDF)


class ResultsFile3(ResultsFile):
    """A file of schema 3, its rows handed on in the present schema."""

    columns = ResultsFile.columns | {"runs": _RUNS, "mpdf": _MPDF}
    text_kind = "O"

    def rows(
        self, name: str, start: int, stop: int, columns: Sequence[str] | None = None
    ) -> np.ndarray:
        now = {c.name: "O" if c.dtype == "text" else c.dtype for c in TABLES[name][0]}
        names = list(columns or now)
        with readable(self.path, f"/{name}"):
            table = self.dataset(name)
            stored = table.fields(names)[start:stop]
            out = np.empty(len(stored), [(n, now[n]) for n in names])
            for n in names:
                out[n] = [text.decode() for text in stored[n]] if now[n] == "O" else stored[n]
            if name == "mpdf" and "row" in names:
                ids, first = self._first_rows
                of = table.fields("run_id")[start:stop]
                out["row"] = stored["row"] - first[np.searchsorted(ids, of)]
            return self._read(out, name)

    def column(self, name: str, column: str) -> np.ndarray:
        return self.rows(name, 0, self.n_rows(name), [column])[column]

    def chunks(self, name: str, rows: int, columns: Sequence[str] | None) -> Iterator[np.ndarray]:
        for start in range(0, self.n_rows(name), rows):
            yield self.rows(name, start, start + rows, columns)

    @cached_property
    def _first_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Run ids, ascending, and the first row of each run."""
        ids, first = (self.dataset("runs").fields(c)[:] for c in ("run_id", "first_row"))
        order = np.argsort(ids)
        return ids[order], first[order]
