"""Mock catalogs with truth: prep3 and mst3 files beside tables of what they were drawn from.

A catalog is made field by field.  Each field has a seed of its own, so that a
longer catalog begins with the same fields; associations and truth are held in
memory, 1 kB a detection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..catalog.bundle import Bundle, InputError
from ..catalog.masters import Blocks, Links
from ..catalog.quantities import TABLE_1
from ..files.mst3 import write_mst3_tables
from ..files.prep3 import prep3_name
from ..files.prep3_write import write_prep3
from .masters import MasterTable, draw_blocks, match
from .observe import Detections, detect, observe, source_counts
from .plane import Plane, place_stack
from .products import Products
from .regions import bundled_again, write_regions
from .samples import SAMPLE_SKIES
from .sky import PRESETS as SKIES
from .sky import Preset, draw_sources, draw_stacks
from .truth import TruthTable

__all__ = ["PRESETS", "Preset", "SimulatedCatalog", "simulate"]

PRESETS = SKIES | SAMPLE_SKIES

_NAMES = [("stack", "S24", ""), ("obsid", "S16", ""), ("bundle", "S8", ""), ("component", "S8", "")]
TRUTH_COLUMNS = [
    *_NAMES,
    ("band", "S1", ""),
    *((q.name, "f8", q.unit) for q in TABLE_1.values()),
    *((f"bkg_{q.name}", "f8", f"{q.unit} pixel-1") for q in TABLE_1.values()),
]
MASTER_COLUMNS = [
    ("master", "S24", ""),
    ("block", "i8", ""),
    ("exposure", "f8", "s"),
    ("flux_b", "f8", "erg s-1 cm-2"),
    ("photon_index", "f8", ""),
]


@dataclass(frozen=True)
class SimulatedCatalog:
    """What has been written, and how much of it."""

    prep3: Path
    mst3: Path
    truth: Path
    truth_masters: Path
    detections: int
    obsids: int
    masters: int


def simulate(
    out_dir: str | os.PathLike,
    n_detections: int,
    seed: int = 0,
    preset: str | Preset = "survey",
    events: bool = False,
) -> SimulatedCatalog:
    """Write a mock catalog of at least `n_detections` detections, an obsid's component each.

    With `events` there is a folder `products` for `mpiapp extract` instead of the folder `prep3`.
    Into `out_dir` go the folder `prep3`, `mst3.fits`, `truth.fits` (a row per
    detection and band: the intensity of each quantity and the background per
    pixel that the counts were drawn from) and `truth_masters.fits` (a row per
    master source and block).  The same arguments give the same bytes.

    Raises
    ------
    InputError
        If the preset is unknown, n_detections not positive or the seed negative.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise InputError(f"preset {preset!r}, expected one of {', '.join(PRESETS)}")
        preset = PRESETS[preset]
    if n_detections < 1:
        raise InputError(f"{n_detections} detections, expected at least one")
    if seed < 0:
        raise InputError(f"seed {seed}, expected a whole number that is not negative")
    out = Path(out_dir)
    folder = out / ("products" if events else "prep3")
    folder.mkdir(parents=True, exist_ok=True)
    catalog = SimulatedCatalog(
        folder, out / "mst3.fits", out / "truth.fits", out / "truth_masters.fits", 0, 0, 0
    )
    links: list[Links] = []
    blocks: list[Blocks] = []
    truth, masters_truth = TruthTable(TRUTH_COLUMNS), TruthTable(MASTER_COLUMNS)
    field = 0
    while catalog.detections < n_detections:
        rng = np.random.default_rng([seed, field])
        wanted = n_detections - catalog.detections
        detections, obsids, masters = _field(preset, field, wanted, rng, folder, truth, events)
        links.append(masters.links)
        blocks.append(masters.blocks)
        if masters.truth:
            masters_truth.append(**masters.truth)
        catalog = replace(
            catalog,
            detections=catalog.detections + detections,
            obsids=catalog.obsids + obsids,
            masters=catalog.masters + masters.n_masters,
        )
        field += 1
    truth.write(catalog.truth, "TRUTH")
    masters_truth.write(catalog.truth_masters, "TRUTH_MASTERS")
    write_mst3_tables(catalog.mst3, _joined(Links, links), _joined(Blocks, blocks))
    return catalog


def _joined(kind, parts):
    return kind(*(np.concatenate(columns) for columns in zip(*(vars(p).values() for p in parts))))


def _field(preset, field, wanted, rng, folder, truth, events) -> tuple[int, int, MasterTable]:
    """Simulate one field and write its obsids."""
    stacks = draw_stacks(preset, field, rng)
    planes: list[Plane] = []
    if events:
        stacks, planes = map(list, zip(*(place_stack(stack, field) for stack in stacks)))
    n_obsids = sum(len(stack.obsids) for stack in stacks)
    n_sources = int(rng.integers(preset.sources[0], preset.sources[1] + 1))
    # The last field of a small catalog need not be a whole one.
    n_sources = min(n_sources, 3 + 3 * wanted // n_obsids)
    sources = draw_sources(preset, n_sources, stacks, rng)
    if preset.net_counts is not None:
        first = source_counts(stacks[0].camera, sources, stacks[0].obsids[0])
        broad = first @ stacks[0].camera.sums()[-1]
        wanted_counts = rng.uniform(*preset.net_counts, n_sources)
        sources = replace(sources, flux=sources.flux * wanted_counts / broad)
    detected = [detect(preset, sources, stack) for stack in stacks]
    matches = match(field, detected, preset.prefix)
    factors, masters = draw_blocks(preset, matches, sources, detected, rng)
    if not preset.blocks:
        nothing = Blocks(*(column[:0] for column in vars(masters.blocks).values()))
        masters = replace(masters, blocks=nothing)
    n_detections = written = 0
    for k, detections in enumerate(detected):
        stack = detections.stack
        member = detections.member
        inside = member >= 0
        files = _products(preset, folder / stack.name, detections, planes[k]) if events else None
        for obsid in stack.obsids:
            photons = source_counts(stack.camera, sources, obsid)
            photons = photons * factors[obsid.name][:, None]
            expected = np.zeros((len(detections.position), photons.shape[1]))
            np.add.at(expected, member[inside], photons[inside])
            if files:
                seen = files.observe(obsid, expected, rng)
            else:
                drawn = observe(preset, detections, obsid, expected, rng)
                seen = [(bundle.key.bundle, bundle.components, t) for bundle, t in drawn]
                bundles = [_wanted(preset, bundle) for bundle, _ in drawn]
                path = folder / prep3_name(stack.name, obsid.name)
                if bundles:
                    own = stack.name, obsid.name, stack.camera.name
                    write_prep3(path, *own, bundles, obsid.seconds, mjd=obsid.mjd)
            if seen:
                written += 1
                n_detections += sum(len(components) for _, components, _ in seen)
                _write_truth(truth, stack.name, obsid.name, seen)
    return n_detections, written, masters


def _wanted(preset: Preset, bundle: Bundle) -> Bundle:
    """The bundle with only those bands, quantities and apertures that the preset names."""

    def is_wanted(band: str, aperture: str) -> bool:
        return (not preset.bands or band in preset.bands) and (
            not preset.apertures or aperture in preset.apertures
        )

    return replace(
        bundle,
        counts={key: c for key, c in bundle.counts.items() if is_wanted(*key)},
        F={
            key: F
            for key, F in bundle.F.items()
            if is_wanted(key.band, key.aperture)
            and (not preset.quantities or key.quantity in preset.quantities)
        },
    )


def _products(preset: Preset, folder: Path, detections: Detections, plane: Plane) -> Products:
    """The folder of a stack, with the regions of its components."""
    folder.mkdir(exist_ok=True)
    detections = bundled_again(detections)
    write_regions(folder, detections, plane)
    bands = tuple(preset.bands) or detections.stack.camera.bands
    return Products(folder, detections, plane, bands)


def _write_truth(table: TruthTable, stack: str, obsid: str, seen) -> None:
    for bundle, components, truth in seen:
        n, n_bands = len(components), len(truth.bands)
        columns = {}
        for q, name in enumerate(TABLE_1):
            columns[name] = truth.intensity[q].ravel()
            columns[f"bkg_{name}"] = np.repeat(truth.background[q], n)
        table.append(
            stack=stack,
            obsid=obsid,
            bundle=bundle,
            component=np.tile(np.array(components, dtype="S8"), n_bands),
            band=np.repeat(np.array(truth.bands, dtype="S1"), n),
            **columns,
        )
