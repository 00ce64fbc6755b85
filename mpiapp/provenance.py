"""Where and with what a job ran."""

from __future__ import annotations

import math
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = (
    "mpiapp",
    "numpy",
    "numba",
    "astropy",
    "h5py",
    "mpi4py",
    "pymc3",
    "Theano-PyMC",
    "pymc",
    "nutpie",
    "pytensor",
    "sherpa",
)


def versions(mpi_library: str = "") -> dict[str, str]:
    """Version of Python, of every package that can change a number, and of the MPI library."""
    from importlib import metadata  # only one rank asks

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if mpi_library:
        found["mpi"] = mpi_library
    return found


def revision() -> str:
    """Git revision of the checkout the program runs from, "-dirty" appended; empty elsewhere."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def cpu_model() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def this_rank() -> dict[str, str | int]:
    """Host, processor and process of the calling rank."""
    return {"host": host(), "cpu": cpu_model(), "pid": os.getpid()}


def host() -> str:
    """Name of this host, as text of any encoding can be written."""
    return _writable(platform.node())


def process_seconds() -> float:
    """Age of this process in s, its imports included; NaN where the system does not tell."""
    try:
        ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        uptime = Path("/proc/uptime").read_text().split()[0]
        return float(uptime) - int(ticks) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return float("nan")


def process_start() -> float:
    """Unix time at which this process began; now, where the system does not tell."""
    seconds = process_seconds()
    return time.time() - (0.0 if math.isnan(seconds) else seconds)


def command_line() -> str:
    """The command as it was called."""
    return _writable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))


def _writable(text: str) -> str:
    """The text in valid UTF-8: bytes that are none, of the system's names, as \\xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
