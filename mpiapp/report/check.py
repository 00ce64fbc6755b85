"""`mpiapp check`: whether a results file is what its inputs give.

Five questions, each of which can be answered without those after it: do the tables fit together,
are the inputs those that were measured, has every run of the work list its rows, do identical
data have identical numbers at every level, and do runs come out the same when the exact engine
measures them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import InputError
from ..catalog.outcome import Outcome
from ..catalog.runs import ids_and_seeds
from ..catalog.worklist import Target
from ..config import Config
from ..engines import create
from ..files.packed_runs import starts
from ..files.results import Results
from ..parallel.planning import Plan, find_inputs, make_plan
from ..parallel.scanning import scan_here
from ..parallel.shares import Shard
from ..photometry.photometer import Photometer
from .check_numbers import KEPT, differences, is_comparable, nonsense
from .check_tables import check_tables
from .rerun import found_config, moved
from .text import printable

_SHOWN = 10
_ROWS = 20_000  # read at a time
_NOT_REPEATED = (Outcome.NULL_FAILED, Outcome.NULL_TIME_LIMIT)


class Finding:
    """The answer to one question.

    Attributes
    ----------
    looked : str
        The things that were looked at, in words.
    n_wrong : int
        Number of things that are wrong.
    lines : list of str
        The first wrong things.
    """

    def __init__(self, looked: str):
        self.looked, self.n_wrong, self.lines = looked, 0, []

    def add(self, wrong: Iterable, say: Callable[..., str] = str) -> None:
        """Add wrong things; `say` describes one."""
        for one in wrong:
            self.n_wrong += 1
            if self.n_wrong <= _SHOWN:
                self.lines.append(printable(say(one)))

    def __str__(self) -> str:
        if not self.n_wrong:
            return f"{self.looked}: as they should be"
        lines = [f"{self.looked}: {self.n_wrong} wrong", *self.lines]
        if self.n_wrong > _SHOWN:
            lines.append(f"… and {self.n_wrong - _SHOWN} more")
        return "\n  ".join(lines)


class Expected(NamedTuple):
    """The work list as it should stand in the results.

    run_id, seed, n_rows : (n_runs,)
    component : (n_rows,) in the order of the runs, and of the rows within a run
    same : (n_rows,) equal for rows of the same data, bands, apertures and quantities
    """

    run_id: np.ndarray
    seed: np.ndarray
    n_rows: np.ndarray
    component: np.ndarray
    same: np.ndarray


def check(results: Results, sample: int | None, inputs: str | None = None) -> Iterator[Finding]:
    """Answer the questions one after the other.

    sample : how many runs are measured again; None for all
    inputs : folder in which the inputs are now, with the last part of their old paths

    Nothing that the file names is imported: it is the engine `exact` that measures.
    Raises ResultsError if tables are damaged; InputError if the inputs are not to be found.
    """
    ids = check_tables(results)
    rows = _rows(results)
    runs = _runs(results)
    tables = Finding(f"{len(ids)} runs, {len(rows)} rows")
    tables.add(nonsense(rows, runs))
    yield tables
    config, folder = found_config(results, inputs)
    plan = make_plan(config, find_inputs(config), scan_here)
    yield _check_inputs(results, plan, folder)
    expected = _expected(plan, config.seed)
    yield _check_work_list(results, expected, rows, runs)
    yield _check_levels(results, expected, config, rows, runs)
    if sample is None or sample:
        yield _check_again(results, plan, config, rows, runs, sample)


def _rows(results: Results) -> np.ndarray:
    """/photometry without what follows from the run, in the order of the file."""
    chunks = results.chunks("photometry", _ROWS, KEPT.names)
    return np.concatenate([np.empty(0, KEPT), *(rows.astype(KEPT) for rows in chunks)])


def _runs(results: Results) -> np.ndarray:
    names = ("run_id", "seed", "outcome", "flags", "n_rows", "job")
    return np.concatenate(
        [results.rows("runs", 0, 0, names), *results.chunks("runs", _ROWS, names)]
    )


def _check_inputs(results: Results, plan: Plan, folder: str | None) -> Finding:
    """The digests of the input files now against the digests in the jobs."""
    table = results.table("inputs")
    stored = dict(zip(table["path"].tolist(), table["digest"].tolist()))
    there = dict(plan.inputs)
    found = Finding(f"{len(stored)} inputs")
    for path, digest in stored.items():
        new = moved(path, folder)
        if new not in there:
            found.add([f"{path}: is gone"])
        elif there.pop(new) != digest:
            found.add([f"{path}: is another file than the one that was measured"])
    found.add(there, lambda path: f"{path}: was not there when the runs were measured")
    return found


def _expected(plan: Plan, seed: int) -> Expected:
    ids, seeds, sizes, components, same = [], [], [], [], []
    numbers: dict[tuple, int] = {}
    for unit in plan.units:
        for target in unit.targets():
            more, their_seeds = ids_and_seeds(target.level, target.name, target.matrices, seed)
            ids += more
            seeds += their_seeds
            sizes += [len(target.reported)] * len(more)
            components += [name.encode() for name in target.reported] * len(more)
            data = tuple(sorted((part.files, part.bundle) for part in target.parts))
            sources = [(data, *_members(target, name)) for name in target.reported]
            same += [
                numbers.setdefault((matrix, source), len(numbers)) if data else -1
                for matrix in target.matrices
                for source in sources
            ]
    return Expected(
        np.array(ids, "u8"),
        np.array(seeds, "u8"),
        np.array(sizes, "u4"),
        np.array(components, KEPT["component"]),
        np.array(same, "i8"),
    )


def _members(target: Target, name: str) -> list[tuple[str, str]]:
    """The (stack, component) that a source column of a target stands for."""
    if target.labels is None:
        return [(target.name.split("/")[0], name)]
    return sorted(key for key, label in target.labels.items() if label == name)


def _check_work_list(
    results: Results, expected: Expected, rows: np.ndarray, runs: np.ndarray
) -> Finding:
    """Runs that are missing, or nobody's; rows of other sources than the run has."""
    n_planned, partly = _planned(results)
    n_runs = n_planned if partly else len(expected.run_id)
    part = f" of {len(expected.run_id)} (shards)" if partly else ""
    found = Finding(f"{n_runs} runs{part} of the work list")

    def add(wrong: np.ndarray, what: str) -> None:
        found.add(wrong, lambda row: f"{_name(results, row)}: {what}")

    common, e, r = np.intersect1d(expected.run_id, runs["run_id"], return_indices=True)
    if missing := n_runs - len(common):
        found.add([f"{missing} runs of the work list have not been measured"])
    first = starts(runs["n_rows"])
    add(first[~np.isin(runs["run_id"], expected.run_id)], "is not in the work list")
    add(first[r[expected.n_rows[e] != runs["n_rows"][r]]], "has not its sources")
    add(first[r[expected.seed[e] != runs["seed"][r]]], "has another seed")
    at, there = _aligned(expected, runs)
    add(there[expected.component[at] != rows["component"][there]], "is another source")
    return found


def _planned(results: Results) -> tuple[int, bool]:
    """How many runs the jobs had to do, and whether that is only a part of the work list."""
    jobs = results.table("jobs")
    of = dict(zip(jobs["shard"].tolist(), jobs["planned"].tolist()))
    try:
        shards = {Shard.parse(text) for text in of if text}
    except ValueError:
        raise InputError(f"{results.path}: /jobs, column shard: not K/N") from None
    whole = "" in of or any(
        len({s.number for s in shards if s.total == one.total}) == one.total for one in shards
    )
    return sum(of.values()), not whole


def _aligned(expected: Expected, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in both of the rows of runs that have as many rows as they should."""
    _, e, r = np.intersect1d(expected.run_id, runs["run_id"], return_indices=True)
    alike = expected.n_rows[e] == runs["n_rows"][r]
    e, r = e[alike], r[alike]
    n_rows = expected.n_rows[e]
    at = _spans(starts(expected.n_rows)[e], n_rows)
    return at, _spans(starts(runs["n_rows"])[r], n_rows)


def _check_levels(
    results: Results, expected: Expected, config: Config, rows: np.ndarray, runs: np.ndarray
) -> Finding:
    """Rows of the same data, at whatever levels, each against the one before it."""
    exact, floor = config.engine.name == "exact", config.ladder.energy_floor
    at, there = _aligned(expected, runs)
    order = np.argsort(expected.same[at], kind="stable")
    same, there = expected.same[at[order]], there[order]
    is_next = (same[1:] == same[:-1]) & (same[1:] >= 0)
    a, b = there[:-1][is_next], there[1:][is_next]
    usable = is_comparable(rows[a], rows[b], exact)
    a, b = a[usable], b[usable]
    found = Finding(f"{len(a)} pairs of rows of identical data")
    found.add(
        differences(rows[a], rows[b], exact, False, floor),
        lambda one: f"{_name(results, a[one[0]])} and {_name(results, b[one[0]])}: {one[1]}",
    )
    return found


def _check_again(
    results: Results,
    plan: Plan,
    config: Config,
    rows: np.ndarray,
    runs: np.ndarray,
    sample: int | None,
) -> Finding:
    """Runs as the exact engine measures them now."""
    jobs = results.table("jobs")
    mine = jobs["job"][jobs["config_hash"] == jobs["config_hash"][0]]
    usable = np.isin(runs["job"], mine) & ~np.isin(runs["outcome"], _NOT_REPEATED)
    at = np.flatnonzero(usable)
    if sample is not None and sample < len(at):
        at = np.sort(np.random.default_rng(0).choice(at, sample, False))
    at = at[np.argsort(runs["run_id"][at])]
    chosen, first = runs[at], starts(runs["n_rows"])[at]
    exact, floor = config.engine.name == "exact", config.ladder.energy_floor
    engine = create("exact", **config.engine.exact.model_dump())
    photometer = Photometer(engine, config.policy(), config.seed, config.limits.run_seconds)
    found = Finding("")
    n_rows = n_runs = 0
    for targets in _targets(plan, chosen["run_id"]):
        new = photometer.measure(targets)
        old = np.searchsorted(chosen["run_id"], new.runs["run_id"])
        n_rows_each = new.runs["n_rows"]
        alike = chosen["n_rows"][old] == n_rows_each  # it is told already where they are not
        place = _spans(first[old[alike]], n_rows_each[alike])
        now = new.photometry[_spans(starts(n_rows_each)[alike], n_rows_each[alike])]
        now = now[list(KEPT.names)].astype(KEPT)
        fits = is_comparable(rows[place], now, exact)
        place, now = place[fits], now[fits]
        n_rows += len(place)
        n_runs += int(alike.sum())
        found.add(
            differences(rows[place], now, exact, True, floor),
            lambda one, place=place: f"{_name(results, place[one[0]])}: {one[1]}",
        )
    found.looked = f"{n_rows} rows of {n_runs} runs measured again"
    return found


def _spans(first: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
    """Places of the rows of runs, by the first row of each and their number."""
    n_rows = n_rows.astype(np.int64)
    return np.repeat(first - starts(n_rows), n_rows) + np.arange(n_rows.sum())


def _targets(plan: Plan, run_ids: np.ndarray) -> Iterator[list[Target]]:
    """The targets of runs (n,), sorted by id, with the matrices of these runs, unit by unit."""
    for unit in plan.units if len(run_ids) else ():
        found = []
        for target in unit.targets():
            ids = np.array(ids_and_seeds(target.level, target.name, target.matrices, 0)[0], "u8")
            at = np.minimum(np.searchsorted(run_ids, ids), len(run_ids) - 1)
            wanted = run_ids[at] == ids
            if wanted.any():
                matrices = tuple(m for m, is_wanted in zip(target.matrices, wanted) if is_wanted)
                found.append(target._replace(matrices=matrices))
        if found:
            yield found


def _name(results: Results, row: int) -> str:
    """The key and the component of a row of /photometry."""
    (found,) = results.rows("photometry", int(row), int(row) + 1)
    names = ("level", "target", "band", "aperture", "quantity", "component")
    return " ".join(found[name].decode() for name in names)
