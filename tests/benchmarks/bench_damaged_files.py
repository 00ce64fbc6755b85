"""Extract a mock sky again and again with one of its files damaged.

    python tests/benchmarks/bench_damaged_files.py [DIR] [--files N] [--seed N]

Event lists, region files, PSF images and exposure maps in turn get bytes flipped, cut off, repeated
or zeroed.  An extraction may name the file, or use it; it fails here if it raises, takes longer
than 30 s, blames another file, or loses or changes a source that does not share the file: one of
another bundle, for a file of a source.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from damaged_bytes import mutated

from mpiapp.extract.field import ObservationFiles
from mpiapp.extract.find import find_field
from mpiapp.extract.observation import extract_observation
from mpiapp.extract.overlaps import find_bundles
from mpiapp.files.prep3 import read_prep3
from mpiapp.simulate import PRESETS, simulate

PRESET = replace(
    PRESETS["crowded"], sources=(15, 15), flux=(1e-14, 1e-12), stacks=(1, 1), obsids=(1, 1),
    bands="bs", exposure=60e3, hrc=0.0,
)  # fmt: skip
KINDS = "evt3", "reg3", "psf3", "exp3"
SECONDS = 30


def bundles_of(path: str) -> dict:
    return dict(read_prep3(path).bundles) if path else {}


def equal(one, other) -> bool:
    return one.F.keys() == other.F.keys() and all(
        np.array_equal(F, other.F[matrix]) for matrix, F in one.F.items()
    )


def try_file(files: ObservationFiles, field, victim: Path, undisturbed: dict, out: str) -> str:
    """What is wrong with an extraction that meets the damaged file; "named", "used" if nothing."""
    signal.alarm(SECONDS)
    try:
        bundles = find_bundles([files]).bundles
        done = extract_observation(files, bundles, field.settings, out)
        found = bundles_of(done.path)
    except Exception:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    if blamed := [f for f in done.faults if victim.name not in f and files.name not in f]:
        return f"another file is blamed: {blamed[0]}"
    if "_r0" not in victim.name:
        return "named" if done.faults else "used"
    component = victim.name.split("_r0")[1][:3]
    for bundle in undisturbed.values():
        if any(c.endswith(component) for c in bundle.components):
            continue
        mine = next((b for b in found.values() if b.components == bundle.components), None)
        if mine is None:
            return f"{bundle.components} is lost"
        if "reg3" not in victim.name and not equal(mine, bundle):
            return f"{bundle.components} has changed"
    return "named" if done.faults else "used"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    simulate(folder / "mock", 12, seed=3, preset=PRESET, events=True)
    field = find_field(str(folder / "mock" / "products"))
    files = field.observations[0]
    out = str(folder)
    bundles = find_bundles([files]).bundles
    undisturbed = bundles_of(extract_observation(files, bundles, field.settings, out).path)
    victims = {kind: [Path(p) for p in files.files() if kind in p] for kind in KINDS}
    rng = np.random.default_rng(args.seed)
    tally, wrong = Counter(), 0
    for n in range(args.files):
        kind = KINDS[n % len(KINDS)]
        victim = victims[kind][int(rng.integers(len(victims[kind])))]
        content = victim.read_bytes()
        victim.write_bytes(mutated(content, rng))
        said = try_file(files, field, victim, undisturbed, out)
        victim.write_bytes(content)
        tally[kind, said if said in ("named", "used") else "wrong"] += 1
        if said not in ("named", "used"):
            wrong += 1
            print(f"{n}: {victim.name}: {said}", flush=True)
    for (kind, said), n in sorted(tally.items()):
        print(f"{kind}: {n} {said}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
