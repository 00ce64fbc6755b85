"""Master sources of a simulated field: which components are which source, and its blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..catalog.masters import Blocks, Links
from .observe import Detections
from .sky import Preset, Sources


@dataclass(frozen=True, eq=False)
class MasterTable:
    """Rows for the mst3 file and the truth table of one field."""

    links: Links
    blocks: Blocks
    truth: dict[str, np.ndarray]
    n_masters: int


@dataclass(frozen=True, eq=False)
class Matches:
    """Master sources of a field.

    Attributes
    ----------
    names : list of str
    sources : list of int arrays
        Sources that make up each master: those that no stack tells apart.
    components : (n_masters, n_stacks) int
        Component of each stack that the master is part of; -1 for none.
    kinds : (n_masters, n_stacks) of "u", "a", "n" or "" (not in the stack's field)
    """

    names: list[str]
    sources: list[np.ndarray]
    components: np.ndarray
    kinds: np.ndarray


def match(field: int, detected: list[Detections], prefix: str = "") -> Matches:
    """Match the detections of several stacks.

    Sources blended in one stack and separate in another are two masters; the
    blend is an ambiguous match of both.  A source that is nowhere separate has
    no master of its own.
    """
    member = np.stack([d.member for d in detected], axis=1)
    seen = np.stack([d.seen for d in detected], axis=1)
    alike, which = np.unique(member, axis=0, return_inverse=True)
    which = which.reshape(-1)
    alone = _shared_by(alike) == 1
    keep = np.flatnonzero(alone.any(axis=1))
    components = alike[keep]
    shared = _shared_by(components)
    sources = [np.flatnonzero(which == i) for i in keep]
    in_field = np.array([seen[s].any(axis=0) for s in sources]).reshape(components.shape)
    kinds = np.where(components >= 0, np.where(shared == 1, "u", "a"), np.where(in_field, "n", ""))
    names = [f"{prefix}2SIM {field:06d}-{i + 1:04d}" for i in range(len(keep))]
    return Matches(names, sources, components, kinds)


def _shared_by(components: np.ndarray) -> np.ndarray:
    """How many rows have the same component of the stack; 0 where there is none."""
    shared = np.zeros(components.shape, dtype=int)
    for k, column in enumerate(components.T):
        found = column >= 0
        times = np.bincount(column[found], minlength=1)
        shared[found, k] = times[column[found]]
    return shared


def draw_blocks(
    preset: Preset,
    matches: Matches,
    sources: Sources,
    detected: list[Detections],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], MasterTable]:
    """Flux factor of every source in each obsid, by obsid name, and the masters' rows.

    A variable master has up to three blocks of obsids, each with a flux of its
    own; any other has one.
    """
    obsids = [(k, obsid) for k, d in enumerate(detected) for obsid in d.stack.obsids]
    n = len(matches.names)
    n_blocks = np.where(rng.random(n) < preset.variable, rng.integers(2, 4, n), 1)
    block = rng.integers(0, n_blocks[:, None], (n, len(obsids)))
    level = np.where(n_blocks[:, None] > 1, 10 ** rng.normal(0, 0.3, (n, 3)), 1.0)
    factors = {obsid.name: np.ones(len(sources.flux)) for _, obsid in obsids}
    for j, (_, obsid) in enumerate(obsids):
        for i, members in enumerate(matches.sources):
            factors[obsid.name][members] = level[i, block[i, j]]
    on = [obsid.on_detector(detected[k].stack.camera, detected[k].position) for k, obsid in obsids]
    block_rows, truth_rows = [], []
    for i, name in enumerate(matches.names):
        members = matches.sources[i]
        flux = float(sources.flux[members].sum())
        index = float(np.average(sources.index[members], weights=sources.flux[members]))
        seconds: dict[int, float] = {}
        rows = []
        for j, (k, obsid) in enumerate(obsids):
            if matches.kinds[i, k] == "u" and on[j][matches.components[i, k]]:
                seconds[block[i, j]] = seconds.get(block[i, j], 0.0) + obsid.seconds
                rows.append((block[i, j], detected[k].stack.name, obsid.name))
        number = {b: m + 1 for m, b in enumerate(sorted(seconds))}
        block_rows += [(name, number[b], stack, obsid) for b, stack, obsid in rows]
        truth_rows += [
            (name, number[b], total, flux * level[i, b], index)
            for b, total in sorted(seconds.items())
        ]
    table = MasterTable(
        _links(matches, detected),
        _blocks(block_rows),
        dict(zip(("master", "block", "exposure", "flux_b", "photon_index"), zip(*truth_rows))),
        n,
    )
    return factors, table


def _links(matches: Matches, detected: list[Detections]) -> Links:
    rows = [
        (
            name,
            matches.kinds[i, k],
            d.stack.name,
            f"r{matches.components[i, k] + 1:04d}" if matches.components[i, k] >= 0 else "",
        )
        for i, name in enumerate(matches.names)
        for k, d in enumerate(detected)
        if matches.kinds[i, k]
    ]
    columns = zip(*rows) if rows else [()] * 4
    return Links(*(np.array(column, dtype="S24") for column in columns))


def _blocks(rows: list[tuple[str, int, str, str]]) -> Blocks:
    master, block, stack, obsid = zip(*rows) if rows else [()] * 4
    return Blocks(
        np.array(master, dtype="S24"),
        np.array(block, dtype=np.int64),
        np.array(stack, dtype="S24"),
        np.array(obsid, dtype="S16"),
        np.full(len(rows), np.nan),
        np.zeros(len(rows), dtype=np.int64),
    )
