"""Runs that a merge leaves out to be measured again: failed ones, and runs of mended inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..catalog.fault import InputError
from ..catalog.outcome import unplanned
from .packed_runs import take
from .prep3 import scan_prep3
from .results import Results, open_results
from .schema import Batch


class Retry:
    """The runs of some results files that are to be measured again.

    These are the failed ones; and where an input that failed is another file now, or can be read,
    all runs of its obsid, of its stack, and the whole master level, because rows do not record
    their stacks.

    Parameters
    ----------
    paths : sequence of Path
        The results files; ResultsError if one cannot be read.

    Attributes
    ----------
    digests : dict of str to str
        The present digest of each mended input.
    gaps : list of str
        What is left out, a line for each file that has some.
    """

    def __init__(self, paths: Sequence[Path]):
        self.digests: dict[str, str] = {}
        self._prefixes: dict[bytes, list[bytes]] = {b"obsid": [], b"stack": []}
        found: dict[str, str] = {}
        for path in paths:
            with open_results(path) as results:
                failed = set(results.table("failures")["where"])
                rows = results.table("inputs")
            found.update((r["path"], r["digest"]) for r in rows if r["path"] in failed)
        for path, digest in found.items():
            self._look(path, digest)
        self.gaps = [line for path in paths if (line := self._gap(path))]

    def _look(self, path: str, digest: str) -> None:
        try:
            scan, _ = scan_prep3(path)
        except (InputError, OSError):
            return  # it fails again, as before
        if scan.digest != digest:
            self.digests[path] = scan.digest
            self._prefixes[b"obsid"].append(f"{scan.stack}/{scan.obsid}/".encode())
            self._prefixes[b"stack"].append(f"{scan.stack}/".encode())

    def _gap(self, path: Path) -> str:
        with open_results(path) as results:
            n = sum(int(self.left_out(runs).sum()) for runs in results.chunks("runs"))
        if not n and not self.digests:
            return ""
        return f"{path}: {n} runs are left out; {len(self.digests)} inputs were mended"

    def left_out(self, runs: np.ndarray) -> np.ndarray:
        """(n,) which of these rows of /runs are to be measured again."""
        again = unplanned(runs["outcome"])
        for level, prefixes in self._prefixes.items():
            for prefix in prefixes:
                again |= (runs["level"] == level) & np.char.startswith(runs["target"], prefix)
        if self.digests:
            again |= ~np.isin(runs["level"], list(self._prefixes))
        return again

    def ids(self, results: Results) -> set[int]:
        """Ids of the runs of a file that are left out, and 0 for its bad inputs."""
        chunks = results.chunks("runs")
        return {0}.union(*(runs["run_id"][self.left_out(runs)].tolist() for runs in chunks))

    def kept(self, batch: Batch) -> Batch:
        """The other runs of a batch."""
        return take(batch, np.flatnonzero(~self.left_out(batch.runs)))
