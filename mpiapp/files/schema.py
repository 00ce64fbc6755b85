"""The columns of a results file: names, types, units and descriptions, in one place.

Workers fill these arrays, rank 0 appends them as they are.  Names are UTF-8 in
fixed-width fields; one that does not fit is refused when the work is planned.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..catalog.instruments import LONGEST_BAND
from ..catalog.names import LONGEST_NAME, LONGEST_TARGET

SCHEMA_VERSION = 4

NAME_BYTES = LONGEST_TARGET
COMPONENT_BYTES = LONGEST_NAME
ENGINE_BYTES = 12
MPDF_POINTS = 128
# Rows of a chunk of /runs and /photometry: 270 kB.
CHUNK_ROWS = 1024


class ResultsError(ValueError):
    """A results file that cannot be read or written; the message names it and says what to do."""


class Column(NamedTuple):
    name: str
    dtype: str
    description: str
    unit: str | None = None


_KEY = (
    Column("run_id", "u8", "stable 64-bit hash of the run's key: level, target, band, aperture, "
           "quantity"),
    Column("level", "S6", "obsid, stack or master"),
    Column("target", f"S{NAME_BYTES}", "stack/obsid/bundle, stack/bundle, master/avg, "
           "master/blockN or master/timeN"),
    Column("band", f"S{LONGEST_BAND}", "energy band: u, s, m, h, b (ACIS), w (HRC), or another"),
    Column("aperture", "S6", "aper, or aper90 (the aperture of 90 % encircled counts)"),
    Column("quantity", "S8", "flux, photflux, rate, cnts, or a model's flux"),
)  # fmt: skip

PHOTOMETRY = (
    *_KEY,
    Column("component", f"S{COMPONENT_BYTES}", "component or master source of this row"),
    Column("value", "f8", "mode of the MPDF, in `unit`; 0 for an upper limit, NaN if NULL"),
    Column("lolim", "f8", "lower 68 % bound, in `unit`; 0 for an upper limit"),
    Column("hilim", "f8", "upper 68 % bound or upper limit, in `unit`"),
    Column("mode", "f8", "mode of the MPDF in `unit`, not set to 0 for upper limits"),
    Column("unit", "S24", "unit of these numbers"),
    Column("mean", "f8", "mean of the posterior, in `unit`"),
    Column("rms", "f8", "standard deviation of the posterior, in `unit`"),
    Column("outcome", "i2", "code of mpiapp.Outcome: 0 measured, 1 upper limit, 10 and above NULL"),
    Column("flags", "i4", "bits of mpiapp.Flag: which fallbacks were used"),
    Column("n_draws", "i4", "draws of all chains together"),
    Column("rhat", "f4", "rank-normalised split r-hat of this source's draws"),
    Column("ess", "f4", "bulk effective sample size of this source's draws"),
    Column("noise", "f4", "Monte Carlo error of mode or bounds, in units of (hilim - lolim)/2"),
)  # fmt: skip

# Of a run: the phases of the memo's Listing 4, and the steps before and after them.
PHASES = ("read", "assemble", "prior", "likelihood", "compile", "init", "sample", "summarise")

RUNS = (
    *_KEY,
    Column("n_sources", "i4", "source columns of the last problem sampled"),
    Column("n_obsids", "i4", "obsids that entered the result, of the last problem sampled: without "
           "excluded ones; 0 if none was sampled"),
    Column("engine", f"S{ENGINE_BYTES}", "engine asked for"),
    Column("method", "S12", "how the last draws were made"),
    Column("seed", "u8", "entropy of the run's random streams"),
    Column("outcome", "i2", "worst outcome of the run's rows"),
    Column("flags", "i4", "all flags of the run's rows"),
    Column("attempts", "i2", "how often it was sampled"),
    Column("n_excluded", "i2", "obsids excluded (named in /attempts)"),
    *(Column(phase, "f4", f"time in this phase: {phase}", "s") for phase in PHASES),
    Column("seconds", "f4", "wall time of the whole run", "s"),
    Column("finished", "f8", "end of the run, Unix time", "s"),
    Column("rank", "i4", "MPI rank that did it"),
    Column("host", "S32", "host of that rank"),
    Column("job", "i4", "row of /jobs"),
    Column("rss", "f4", "peak resident memory of the rank so far", "MB"),
    Column("n_rows", "u4", "rows of /photometry of this run; runs and rows come in one order"),
)  # fmt: skip

MPDF = (
    Column("run_id", "u8", "run, as in /runs"),
    Column("row", "u4", "row of this run in /photometry whose posterior this is, from 0"),
    Column("low", "f8", "intensity of the first point, in the `unit` of that row"),
    Column("high", "f8", "intensity of the last point; the posterior is 0 beyond both"),
    Column("kernel", "f4", "half-width of the kernel that the density was smoothed with, in rms of "
           "the posterior; 0: not smoothed"),
    Column("density", f"{MPDF_POINTS}f4", "probability density at equidistant points from `low` to "
           "`high`, per `unit`"),
)  # fmt: skip

EXTRAS = (
    Column("run_id", "u8", "run, as in /runs"),
    Column("row", "u4", "row of this run in /photometry, from 0"),
    Column("ml", "f8", "maximum-likelihood solution (memo, Eq. 8), in the `unit` of that row"),
    Column("ml_sigma", "f8", "its standard deviation, in `unit`"),
    Column("no_source", "f8", "chance of so many counts or more in the source's apertures without "
           "the source"),
    Column("threshold", "f8", "counts in the source's apertures that a detection exceeds", "count"),
    Column("detection_limit", "f8", "how bright a source has to be to exceed them with the chance "
           "[extras] power, in `unit`"),
    Column("hdi_lo", "f8", "lower bound of the interval of highest density, in `unit`"),
    Column("hdi_hi", "f8", "its upper bound, in `unit`"),
)  # fmt: skip

BACKGROUNDS = (
    Column("run_id", "u8", "run, as in /runs"),
    Column("background", f"S{NAME_BYTES}", "stack/obsid/bundle whose background it is"),
    Column("value", "f8", "mode of the MPDF, in the `unit` of the run per pixel; 0 for a limit"),
    Column("lolim", "f8", "lower bound, in that unit; 0 for an upper limit"),
    Column("hilim", "f8", "upper bound or upper limit, in that unit"),
    Column("mode", "f8", "mode of the MPDF, not set to 0 for upper limits, in that unit"),
    Column("mean", "f8", "mean of the posterior, in that unit"),
    Column("rms", "f8", "standard deviation of the posterior, in that unit"),
    Column("outcome", "i2", "0 measured, 1 upper limit"),
    Column("ml", "f8", "maximum-likelihood solution (memo, Eq. 8), in that unit"),
    Column("ml_sigma", "f8", "its standard deviation, in that unit"),
)

CORRELATIONS = (
    Column("run_id", "u8", "run, as in /runs"),
    Column("row", "u4", "row of this run in /photometry, from 0"),
    Column("other", f"S{COMPONENT_BYTES}", "component or master source fitted together with it"),
    Column("correlation", "f8", "correlation coefficient of their joint posterior"),
)

ATTEMPTS = (
    Column("run_id", "u8", "run, as in /runs"),
    Column("attempt", "i2", "counted from 0; attempt k draws from SeedSequence([seed, k])"),
    Column("changes", "text", "what differed from the problem as assembled"),
    Column("ended", "text", "how it ended"),
    Column("seconds", "f4", "wall time of the attempt", "s"),
)

FAILURES = (
    Column("run_id", "u8", "run, as in /runs; 0 for input that made no run"),
    Column("where", "text", "key of the run, or the input file"),
    Column("type", "text", "type of the exception"),
    Column("message", "text", "its message: what is wrong, where, and what to do"),
    Column("traceback", "text", "its traceback; empty for bad input"),
)

JOBS = (
    Column("job", "i4", "number of the job, counted from 0"),
    Column("started", "text", "UTC, ISO 8601"),
    Column("ended", "text", "UTC, ISO 8601; empty while it runs or if it was killed"),
    Column("exit_reason", "text", "complete, stopped or the error; empty if it was killed"),
    Column("wall_seconds", "f8", "wall time, from the start of the process", "s"),
    Column("config", "text", "the resolved configuration (JSON)"),
    Column("config_hash", "text", "digest of the settings that decide the numbers"),
    Column("versions", "text", "packages, Python and MPI library (JSON)"),
    Column("revision", "text", "git revision of the program, where it runs from a checkout"),
    Column("scheduler", "text", "identifiers of the batch system (JSON)"),
    Column("command", "text", "command line"),
    Column("ranks", "text", "host, CPU and process of every rank (JSON)"),
    Column("shard", "text", "its part of the work list, as 3/10; empty for all of it"),
    Column("planned", "i8", "runs of the work list, or of its part"),
)

INPUTS = (
    Column("job", "i4", "row of /jobs"),
    Column("path", "text", "input file"),
    Column("digest", "text", "BLAKE2b digest of its bytes"),
)

RANKS = (
    Column("job", "i4", "row of /jobs"),
    Column("rank", "i4", "MPI rank; rank 0 hands out the work and writes"),
    Column("host", "S32", "its host"),
    Column("runs", "i8", "runs it has done"),
    Column("startup", "f8", "from the start of the process until it was ready", "s"),
    Column("scan", "f8", "reading what the input files hold", "s"),
    Column("measure", "f8", "in runs, reading their files included", "s"),
    Column("write", "f8", "writing results", "s"),
    Column("dispatch", "f8", "rank 0: planning, making units and taking results", "s"),
    Column("idle", "f8", "waiting", "s"),
    Column("rss", "f4", "peak resident memory", "MB"),
)

TABLES = {
    "photometry": (PHOTOMETRY, "Modes and 68 % bounds: a row per run and source measured"),
    "runs": (RUNS, "How each run went: method, seed, outcome and timing"),
    "mpdf": (MPDF, "Posterior densities of the runs that [output] mpdf names"),
    "extras": (EXTRAS, "Numbers beside mode and bounds that [extras] asks for"),
    "backgrounds": (BACKGROUNDS, "Backgrounds of the runs, if [extras] asks for them"),
    "correlations": (CORRELATIONS, "Sources fitted together, if [extras] asks for them"),
    "attempts": (ATTEMPTS, "Every sampling of the runs that needed more than one"),
    "failures": (FAILURES, "Runs and input files that failed, and why"),
    "jobs": (JOBS, "Provenance: one row per job that wrote to this file"),
    "inputs": (INPUTS, "Checksums of the input files, per job"),
    "ranks": (RANKS, "Where each rank's time went: a row per job and rank"),
}

# A finished file may lack them.
OPTIONAL = ("extras", "backgrounds", "correlations")


def dtype(columns: tuple[Column, ...]) -> np.dtype:
    """Structured type of a table without free text, packed in the order of its columns."""
    return np.dtype([(c.name, c.dtype) for c in columns])


def row(table: str, **values) -> tuple:
    """The values of a row, in the order of the table's columns.

    Raises ValueError if a column is missing, or is none.
    """
    names = [column.name for column in TABLES[table][0]]
    if wrong := values.keys() ^ set(names):
        raise ValueError(f"/{table}: columns missing or unknown: {', '.join(sorted(wrong))}")
    return tuple([values[name] for name in names])


PHOTOMETRY_DTYPE = dtype(PHOTOMETRY)
RUNS_DTYPE = dtype(RUNS)
MPDF_DTYPE = dtype(MPDF)
OPTIONAL_DTYPES = {name: dtype(TABLES[name][0]) for name in OPTIONAL}


class Batch(NamedTuple):
    """A worker's results of a few runs.

    `photometry`, `runs` and `mpdf` are arrays of the types above, all in the order of the runs;
    `attempts` and `failures` are tuples in column order.  `packs` are further runs, compressed
    (`mpiapp.files.packed_runs`).  `further` are names of the tables of OPTIONAL with
    rows of them, in any order.
    """

    photometry: np.ndarray
    runs: np.ndarray
    attempts: list[tuple]
    failures: list[tuple]
    mpdf: np.ndarray = np.zeros(0, MPDF_DTYPE)
    further: Sequence[tuple[str, np.ndarray]] = ()
    packs: Sequence = ()

    @property
    def n_runs(self) -> int:
        """Its runs, packed ones too."""
        return len(self.runs) + CHUNK_ROWS * len(self.packs)

    def __reduce__(self):
        # An MPI that sends large messages in small pieces, one at each poll of the sender, has
        # the receiver spin meanwhile; the rows, which are mostly names, shrink to a fifth.
        return _unpacked, (zlib.compress(pickle.dumps(tuple(self[:-1]), 5), 1), self.packs)


def _unpacked(packed: bytes, packs: Sequence) -> Batch:
    return Batch(*pickle.loads(zlib.decompress(packed)), packs)
