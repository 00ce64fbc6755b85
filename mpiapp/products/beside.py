"""Numbers of results that are not in /photometry, in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from ..catalog.fault import InputError
from ..catalog.names import comma_list
from ..files.packed_runs import starts
from ..files.results import Results
from ..posterior.intervals import highest_density
from ..posterior.mpdf import NARROWEST, Smoothing
from .columns import OF_JOB, Field
from .kept import smoothing_of
from .phot3 import marginal

# What was smoothed when it was kept is not smoothed again.
_AS_KEPT = NARROWEST


def percentages(text: str) -> list[float]:
    """Levels from a list of percentages, "90,99.7"; InputError for what is none."""
    levels = []
    for part in comma_list(text):
        try:
            level = float(part.rstrip("%")) / 100.0
        except ValueError:
            level = np.nan
        if not 0.0 < level < 1.0:
            raise InputError(f"--levels {part}: expected percentages between 0 and 100, as 90,99.7")
        levels.append(level)
    return levels


def level_fields(levels: Sequence[float], highest: bool = False) -> list[Field]:
    """Bounds at these levels, from kept densities: symmetric about the mode, or of highest density.

    Raises ValueError for a level that is none.
    """
    fields = []
    for level in levels:
        if not 0.0 < level < 1.0:
            raise ValueError(f"level {level:g}: expected a probability between 0 and 1")
        percent = f"{100 * level:.6g}"
        kind, of = ("hdi ", " of highest density") if highest else ("", "")
        end = f"{'hdi_' if highest else ''}{{}}{percent.replace('.', '_')}"
        for bound, word, ucd in (("lo", "lower", "stat.min"), ("hi", "upper", "stat.max")):
            said = f"{word} {percent} % bound{of}"
            fields.append(Field(f"{kind}{bound} {level!r}", f"_{end.format(bound)}", ucd, said))
    return fields


class Beside:
    """The numbers of fields that have none in /photometry.

    Parameters
    ----------
    results : Results
    sources : names of the fields' sources, others than those of `names` are left alone

    Raises InputError if the job has not made what is asked for.
    """

    def __init__(self, results: Results, sources: Iterable[str]):
        self._results = results
        sources = set(sources)
        self.names = sorted(s for s in sources if s == "n_obsids" or s in OF_JOB or " " in s)
        if (missing := sources & set(OF_JOB)) and not results.n_rows("extras"):
            raise InputError(
                f"{results.path}: no {min(missing)}; name it in [extras] numbers of the job's "
                "configuration, and measure"
            )
        if any(" " in s for s in sources) and not results.n_rows("mpdf"):
            raise InputError(
                f"{results.path}: no densities for bounds at other levels; name runs in [output] "
                "mpdf and measure them, or set [summary] level"
            )

    def of(self, piece: np.ndarray, begin: int) -> dict[str, np.ndarray]:
        """(n,) numbers by name, NaN for none, of n rows of /photometry from `begin` on."""
        stop = begin + len(piece)
        found = {}
        if "n_obsids" in self.names:
            found["n_obsids"] = self._n_obsids[begin:stop]
        if wanted := [name for name in self.names if name in OF_JOB]:
            place = self._first_of(piece["run_id"]) + self._nth_row[begin:stop]
            place = np.minimum(place, len(self._extras) - 1)
            rows = self._extras[place]
            is_there = (rows["run_id"] == piece["run_id"]) & (
                rows["row"] == self._nth_row[begin:stop]
            )
            found |= {name: np.where(is_there, rows[name], np.nan) for name in wanted}
        if wanted := [name for name in self.names if " " in name]:
            found |= self._bounds(begin, stop, wanted)
        return found

    def _bounds(self, begin: int, stop: int, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        found = {name: np.full(stop - begin, np.nan) for name in wanted}
        first, last = np.searchsorted(self._kept, (begin, stop))
        rows = self._results.rows("mpdf", first, last) if last > first else ()
        levels = {tuple(name.split()[:-2] + name.split()[-1:]) for name in wanted}
        for at, row in zip(self._kept[first:last] - begin, rows):
            density = marginal(row)
            bandwidth = _AS_KEPT if row["kernel"] else self._smoothing.bandwidth
            for *kind, level in levels:
                if kind:
                    bounds = highest_density(density.quantile, float(level))
                else:
                    smoothing = Smoothing(bandwidth, float(level), "quantile")
                    bounds = density.summary(smoothing)[1:3]
                for bound, value in zip(("lo", "hi"), bounds):
                    found[" ".join((*kind, bound, level))][at] = value
        return found

    def _first_of(self, run_ids: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._extras["run_id"], run_ids)

    @cached_property
    def _extras(self) -> np.ndarray:
        rows = self._results.table("extras")
        return rows[np.lexsort((rows["row"], rows["run_id"]))]

    @cached_property
    def _n_rows(self) -> np.ndarray:
        return self._results.column("runs", "n_rows").astype("i8")

    @cached_property
    def _n_obsids(self) -> np.ndarray:
        return np.repeat(self._results.column("runs", "n_obsids"), self._n_rows)

    @cached_property
    def _nth_row(self) -> np.ndarray:
        """Of each row of /photometry, which of its run it is."""
        return np.arange(self._n_rows.sum()) - np.repeat(starts(self._n_rows), self._n_rows)

    @cached_property
    def _kept(self) -> np.ndarray:
        return self._results.mpdf_rows()

    @cached_property
    def _smoothing(self) -> Smoothing:
        return smoothing_of(self._results)
