"""The engines of two Pythons on the same runs, held against each other by `mpiapp compare`.

    python tests/benchmarks/bench_pythons.py PYTHON CURRENT [DIR]

PYTHON (.venv/bin/python) has pymc3, CURRENT (.venv-current/bin/python) has pymc.  Runs of the
shipped example (all levels) and of a simulated sky (photon fluxes in band b, at all levels) are
measured by each engine in each Python, one results file each, kept in DIR; what is there is not
measured again.  Prints a row per pair: all medians are of f, the distance in half-widths of the
reference (memo, Eqs. 9 and 10).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
ENGINES = (("pymc3", "gibbs", "exact"), ("pymc", "gibbs", "exact"))
PAIRS = (
    (("exact", 1), ("exact", 0)),
    (("gibbs", 1), ("gibbs", 0)),
    (("pymc", 1), ("pymc3", 0)),
    (("pymc", 1), ("exact", 0)),
    (("gibbs", 1), ("exact", 0)),
    (("pymc3", 0), ("exact", 0)),
)
EXAMPLE = (
    ("obsid1575.jsonl", "obsid1575"),
    ("csc21.ecsv", "csc21"),
    ("cosmos_stack.ecsv", "cosmos_stack"),
    ("cosmos_master.ecsv", "cosmos_master", "--masters", "cosmos_links.csv",
     "--blocks", "cosmos_blocks.csv"),
)  # fmt: skip


def mpiapp(python, *words, cwd):
    """Run a command of the program in one of the Pythons."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, "-m", "mpiapp", *map(str, words)], cwd=cwd, env=env, check=True)


def prepare(python, folder):
    """Make the inputs of the example and of a small sky; the configuration of each."""
    data = ROOT / "config/example"
    (folder / "out/example").mkdir(parents=True, exist_ok=True)
    for source, target, *rest in EXAMPLE:
        options = [data / word if word.endswith(".csv") else word for word in rest]
        if not (folder / "out/example" / target).exists():
            mpiapp(python, "import", data / source, f"out/example/{target}", *options, cwd=folder)
    if not (folder / "sky").exists():
        mpiapp(python, "simulate", "sky", "--detections", 60, "--seed", 5, cwd=folder)
    example = (ROOT / "config/example.toml").read_text()
    sky = (
        'seed = 5\n[[input]]\nprep3 = "sky/prep3"\nmst3 = "sky/mst3.fits"\n'
        '[select]\nbands = ["b"]\nquantities = ["photflux"]\napertures = ["aper"]\n'
        '[output]\nresults = "out/example/results.h5"\n[engine]\nname = "pymc3"\n'
    )
    return {"example": example, "sky": sky}


def measure(python, engine, folder, name, config):
    """The results file of one engine in one Python."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    results = folder / f"{name}-{engine}-{version}.h5"
    if not results.exists():
        path = folder / f"{results.stem}.toml"
        text = config.replace('name = "pymc3"', f'name = "{engine}"')
        path.write_text(text.replace("out/example/results.h5", str(results)))
        mpiapp(python, "run", path, cwd=folder)
    return results


def main(pythons, folder):
    """Print the table."""
    from mpiapp.report.compare import compare
    from mpiapp.report.matching import open_side

    configs = prepare(pythons[0], folder)
    print("| results | reference | of | rows | f median | f 99 % | f largest |")
    print("|---|---|---|---|---|---|---|")
    for name, config in configs.items():
        found = {
            (engine, i): measure(python, engine, folder, name, config)
            for i, python in enumerate(pythons)
            for engine in ENGINES[i]
        }
        for one, other in PAIRS:
            with open_side(found[one]) as side, open_side(found[other]) as reference:
                f = np.concatenate(list(compare(side, reference).f.values())).astype(float)
            labels = [found[key].stem.split("-", 1)[1].replace("-", ", ") for key in (one, other)]
            print(
                f"| {labels[0]} | {labels[1]} | {name} | {len(f)} | {np.median(f):.4f} "
                f"| {np.percentile(f, 99):.3f} | {f.max():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    kept = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp(prefix="mpiapp-"))
    main([str(Path(p).absolute()) for p in sys.argv[1:3]], kept.absolute())
