"""Which stack components make which master source, and which obsids form which block.

Kept as numpy columns with an index, because a catalog has 400,000 masters and
a million associations; Python objects are made only for what is asked.

A component that is uniquely matched ("u") contributes to the column of its
master source.  An ambiguous one ("a") cannot be tied to one master and stays a
neighbour with a column of its own.  A nondetection ("n") contributes nothing
(memo, section 2.2.3: the mst3 files provide the association).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .fault import InputError
from .names import check_name, name_problem

MATCH_TYPES = (b"u", b"a", b"n")


class Conflict(NamedTuple):
    """A row that cannot be used, and with it its master source; whose file it is, its reader knows.

    `table` is "links" or "blocks", `row` counts from 0 and `column` is where
    the trouble shows.
    """

    master: str
    table: str
    row: int
    column: str
    message: str


@dataclass(frozen=True, eq=False)
class Links:
    """Columns of the association table, a row per master and stack component.

    All are (n,) arrays of bytes (`names_array`); match_type is one of b"u",
    b"a", b"n" and component is empty for "n".
    """

    master: np.ndarray
    match_type: np.ndarray
    stack: np.ndarray
    component: np.ndarray


@dataclass(frozen=True, eq=False)
class Blocks:
    """Columns of the block table, a row per master and contributing obsid.

    Names are as in Links; block is int64 and exposure float64 in
    seconds, NaN where the prep3 files have to tell.  time_block is the int64 number of the block
    in the order of time, 0 where there is none.
    """

    master: np.ndarray
    block: np.ndarray
    stack: np.ndarray
    obsid: np.ndarray
    exposure: np.ndarray
    time_block: np.ndarray


def names_array(names: Sequence[str]) -> np.ndarray:
    """(n,) bytes, a quarter of the memory of text; InputError for what is neither name nor ""."""
    return np.array([name and check_name(name) for name in names], dtype=np.bytes_)


class Associations:
    """The usable master sources of an mst3 file; made by `associate`.

    `links` and `blocks` are their rows, sorted by master source.
    """

    def __init__(self, links: Links, blocks: Blocks):
        order = np.argsort(links.master, kind="stable")
        self._names, starts = np.unique(links.master[order], return_index=True)
        self._link_edges = np.append(starts, len(order))
        self.links = Links(*(column[order] for column in vars(links).values()))
        order = np.lexsort((blocks.block, blocks.master))
        self.blocks = Blocks(*(column[order] for column in vars(blocks).values()))
        left = np.searchsorted(self.blocks.master, self._names, "left")
        right = np.searchsorted(self.blocks.master, self._names, "right")
        self._block_edges = np.stack([left, right], axis=1)
        unique = np.flatnonzero(self.links.match_type == b"u")
        stack, component = self.links.stack[unique], self.links.component[unique]
        order = np.lexsort((component, stack))
        self._unique_rows = unique[order]
        self._unique_components = component[order]
        self._stacks, starts = np.unique(stack[order], return_index=True)
        self._stack_edges = np.append(starts, len(order))

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, master: str) -> bool:
        return self._find(master) is not None

    def masters(self) -> Iterator[str]:
        """Names of the master sources in alphabetical order."""
        return (name.decode() for name in self._names.tolist())

    def components_of(self, master: str) -> list[tuple[str, str, str]]:
        """(stack, component, match_type) of every association of a master source."""
        i = self._index(master)
        rows = slice(self._link_edges[i], self._link_edges[i + 1])
        columns = (self.links.stack, self.links.component, self.links.match_type)
        return list(zip(*(column[rows].astype(str).tolist() for column in columns)))

    def blocks_of(self, master: str) -> dict[int, list[tuple[str, str]]]:
        """(stack, obsid) of each Bayesian Block by flux, the blocks in ascending order."""
        found: dict[int, list[tuple[str, str]]] = {}
        for block, stack, obsid, *_ in self._block_rows(master):
            found.setdefault(block, []).append((stack, obsid))
        return found

    def time_blocks_of(self, master: str) -> dict[int, list[tuple[str, str]]]:
        """(stack, obsid) of each Bayesian Block by time, the blocks in ascending order."""
        rows = sorted((block, pair) for _, *pair, _, block in self._block_rows(master) if block)
        found: dict[int, list[tuple[str, str]]] = {}
        for block, pair in rows:
            found.setdefault(block, []).append(tuple(pair))
        return found

    def best_block(
        self, master: str, exposures: Mapping[tuple[str, str], float | None]
    ) -> int | None:
        """The block with the largest exposure, the lowest number of several; None without blocks.

        `exposures` gives the seconds of each (stack, obsid) where the block
        table does not.  Raises InputError if neither does.
        """
        parts: dict[int, list[float]] = {}
        for block, stack, obsid, exposure, _ in self._block_rows(master):
            if math.isnan(exposure):
                exposure = exposures.get((stack, obsid))
                if exposure is None:
                    raise InputError(
                        f"master {master}, block {block}: no exposure for {stack}/{obsid}; give it "
                        "in the BLOCKS table (mst3) or the keyword EXPOSURE (prep3)"
                    )
            parts.setdefault(block, []).append(exposure)
        totals = {block: math.fsum(values) for block, values in parts.items()}
        return max(sorted(totals), key=totals.__getitem__, default=None)

    def label(self, stack: str, component: str) -> str:
        """Name of the source column of a component (Eq. 5, Eq. 6).

        The master source for a unique match, so that it is shared by all its
        stacks; otherwise "stack/component", a column of the component's own.
        """
        name = stack.encode()
        s = int(np.searchsorted(self._stacks, name))
        if s < len(self._stacks) and self._stacks[s] == name:
            start, stop = self._stack_edges[s], self._stack_edges[s + 1]
            known = self._unique_components[start:stop]
            wanted = component.encode()
            c = int(np.searchsorted(known, wanted))
            if c < len(known) and known[c] == wanted:
                return self.links.master[self._unique_rows[start + c]].decode()
        return f"{stack}/{component}"

    def _find(self, master: str) -> int | None:
        name = master.encode()
        i = int(np.searchsorted(self._names, name))
        return i if i < len(self._names) and self._names[i] == name else None

    def _index(self, master: str) -> int:
        i = self._find(master)
        if i is None:
            raise InputError(f"master {master}: not in the association table, or rejected there")
        return i

    def _block_rows(self, master: str) -> Iterator[tuple[int, str, str, float, int]]:
        start, stop = self._block_edges[self._index(master)]
        _, *columns = vars(self.blocks).values()
        rows = zip(*(column[start:stop].tolist() for column in columns))
        for block, stack, obsid, exposure, time_block in rows:
            yield block, stack.decode(), obsid.decode(), exposure, time_block


def associate(links: Links, blocks: Blocks) -> tuple[Associations, list[Conflict]]:
    """Associations of all master sources whose rows make sense, and what is wrong with others.

    A row that cannot be used costs its master source, since measuring it
    without that row would give a number that looks like any other.  Its
    components stay neighbours of other masters under their own names.
    """
    conflicts = [*_link_conflicts(links), *_block_conflicts(links, blocks)]
    masters = {"links": links.master, "blocks": blocks.master}
    bad = list({masters[c.table][c.row] for c in conflicts})
    return Associations(_without(links, bad), _without(blocks, bad)), conflicts


def _without(table: Links | Blocks, masters: list[bytes]) -> Links | Blocks:
    kept = ~np.isin(table.master, masters)
    return type(table)(*(column[kept] for column in vars(table).values()))


def _conflicts(table: str, masters: np.ndarray, checks) -> Iterator[Conflict]:
    """One Conflict for each row and its first check that is true.

    A message is a text, or a function of the row that gives one.
    """
    seen = np.zeros(len(masters), dtype=bool)
    for is_bad, column, message in checks:
        for row in np.flatnonzero(is_bad & ~seen).tolist():
            master = masters[row].decode("ascii", "backslashreplace")
            text = message if isinstance(message, str) else message(row)
            yield Conflict(master, table, row, column, text)
        seen |= is_bad


def _unnamed(column: np.ndarray) -> np.ndarray:
    """Rows with something that cannot be a name."""
    distinct, which = np.unique(column, return_inverse=True)
    problems = [name_problem(name.decode("latin-1")) for name in distinct.tolist()]
    return np.array([bool(problem) for problem in problems], dtype=bool)[which]


def _no_name(column: np.ndarray, advice: str) -> Callable[[int], str]:
    """For a row, why its name cannot be one."""

    def message(row: int) -> str:
        name = column[row].decode("latin-1")
        return f"the name {name!a} {name_problem(name)}; {advice}"

    return message


def _codes(*columns: np.ndarray) -> np.ndarray:
    """(n,) integers that are equal where all the columns are."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, other = np.unique(column, return_inverse=True)
        _, code = np.unique(code * (len(other) + 1) + other, return_inverse=True)
    return code


def _repeated(among: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Rows of `among` whose columns are equal to those of another row of `among`."""
    code = _codes(*columns)
    times = np.bincount(code[among], minlength=code.max(initial=0) + 1)
    return among & (times[code] > 1)


def _rivals(among: np.ndarray, names: np.ndarray, *columns: np.ndarray) -> Callable[[int], str]:
    """For a row of `among`, the different names of all that have its columns, "a and b"."""
    found: dict[tuple, dict[str, None]] = {}
    for row in np.flatnonzero(among).tolist():
        key = tuple(column[row] for column in columns)
        found.setdefault(key, {})[names[row].decode("ascii", "backslashreplace")] = None
    return lambda row: " and ".join(found[tuple(column[row] for column in columns)])


def _link_conflicts(links: Links) -> Iterator[Conflict]:
    master, match_type, stack, component = vars(links).values()
    blank, unique, absent = component == b"", match_type == b"u", match_type == b"n"
    same_row = _repeated(np.ones(len(master), dtype=bool), master, stack, component)
    same_stack = _repeated(unique, master, stack)
    same_component = _repeated(unique, stack, component)
    components = _rivals(same_stack, component, master, stack)
    rivals = _rivals(same_component, master, stack, component)
    expected = "expected u (unique), a (ambiguous) or n (nondetection)"
    checks = [
        (_unnamed(master), "master", _no_name(master, "name the master source")),
        (_unnamed(stack), "stack", _no_name(stack, "name the stack")),
        (~np.isin(match_type, MATCH_TYPES), "match_type", expected),
        (
            _unnamed(component) & ~(blank & absent),
            "component",
            _no_name(component, "name the component, or make it a match n"),
        ),
        (~blank & absent, "component", "a nondetection (n) has no component; leave it blank"),
        (same_row, "component", "the same association is there twice; keep one"),
        (
            same_stack,
            "component",
            lambda row: f"a second unique component in one stack: {components(row)}; correct one",
        ),
        (
            same_component,
            "master",
            lambda row: f"the component is the unique match of {rivals(row)}; correct one",
        ),
    ]
    return _conflicts("links", master, checks)


def _block_conflicts(links: Links, blocks: Blocks) -> Iterator[Conflict]:
    master, block, stack, obsid, exposure, time_block = vars(blocks).values()
    unknown = ~np.isin(master, links.master)
    no_seconds = ~np.isnan(exposure) & ~((exposure >= 0) & (exposure < np.inf))
    same_obsid = _repeated(np.ones(len(master), dtype=bool), master, stack, obsid)
    checks = [
        (unknown, "master", "not in the association table; add its components or remove the row"),
        (_unnamed(stack), "stack", _no_name(stack, "name the stack")),
        (_unnamed(obsid), "obsid", _no_name(obsid, "name the obsid")),
        (block < 0, "block", "negative; number the blocks from 1"),
        (time_block < 0, "time_block", "negative; number the blocks from 1, 0 for none"),
        (no_seconds, "exposure", "expected seconds, or NaN to take it from the prep3 file"),
        (same_obsid, "obsid", "the obsid is in the master source's blocks twice; keep one"),
    ]
    return _conflicts("blocks", master, checks)
