"""`mpiapp verify`: the memo's verification, repeated: ten samples, every engine, one report.

Everything goes into one folder, and what is there already is not done again:
`inputs` (simulated prep3 and mst3 files and their truth), a configuration and a
results file per engine, and the report with its figures and tables.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ..catalog.bundle import InputError
from ..engines import installed, require
from ..simulate import simulate
from .samples import SAMPLES
from .verify_report import VERIFIED, write_report


def verify(
    folder: str | Path,
    size: float = 12,
    engines: list[str] | None = None,
    ranks: int = 0,
    seed: int = 2022,
    out: str | Path | None = None,
) -> Path:
    """Simulate, measure and report; returns the report's path.

    Parameters
    ----------
    size : float
        Runs per sample and quantity, about; 0 for the memo's own sizes.
    engines : list of str, optional
        Of VERIFIED; by default all that are installed.
    ranks : int
        Worker ranks under mpiexec; 0 measures in one process without MPI.
    out : path, optional
        Folder for the report, its tables and figures; by default `folder`.

    Raises
    ------
    InputError
        If an engine is unknown or its job failed.
    EngineMissing
        If an engine's package is not installed.
    """
    folder = Path(folder)
    chosen = engines or [name for name in VERIFIED if name in installed()]
    for name in chosen:
        if name not in VERIFIED:
            raise InputError(f"engine {name}: not one of {', '.join(VERIFIED)}")
        require(name)
    write_inputs(folder, size, seed)
    for name in [n for n in VERIFIED if n in chosen]:
        _measure(folder, name, ranks, seed)
    return write_report(folder, Path(out or folder))


def write_inputs(folder: Path, size: float, seed: int) -> None:
    """Simulate the samples that are not there yet."""
    for name, sample in SAMPLES.items():
        out = folder / "inputs" / name
        if (out / "mst3.fits").exists():
            continue
        wanted = size or sample.memo_size
        # A run for each band of each detection: fewer detections where there are many bands.
        targets = max(1.0, wanted / max(1, len(sample.preset.bands)))
        detections = round(targets * sample.detections_per_run)
        simulate(out, detections, seed, sample.preset)


def configuration(folder: Path, engine: str, seed: int) -> str:
    """The TOML text of an engine's job: all samples, each at its level."""
    parts = [f"seed = {seed}"]
    for name, sample in SAMPLES.items():
        inputs = folder / "inputs" / name
        parts.append(f"[[input]]\nprep3 = '{inputs / 'prep3'}'\nlevels = ['{sample.level}']")
        if sample.level == "master":
            parts[-1] += f"\nmst3 = '{inputs / 'mst3.fits'}'"
    parts.append(f"[output]\nresults = '{folder / engine}.h5'")
    parts.append(f"[engine]\nname = '{engine}'")
    return "\n\n".join(parts) + "\n"


def _measure(folder: Path, engine: str, ranks: int, seed: int) -> None:
    """Run an engine's job in processes of its own, unless its results are there."""
    if (folder / f"{engine}.h5").exists():
        return
    config = folder / f"{engine}.toml"
    config.write_text(configuration(folder, engine, seed))
    launcher = [_mpiexec(), "-n", str(ranks + 1)] if ranks else []
    resume = ["--resume"] if (folder / f"{engine}.h5.parts").exists() else []
    command = [*launcher, sys.executable, "-m", "mpiapp", "run", str(config), *resume]
    code = subprocess.run(command, check=False).returncode
    # 4: some runs failed, which is what the NULL-like samples are for.
    if code not in (0, 4):
        raise InputError(f"`{' '.join(command)}` ended with exit code {code}: see above")


def _mpiexec() -> str:
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        raise InputError("mpiexec: not found; install an MPI, or verify without --ranks")
    return found
