"""What SLURM, PBS and the launchers of MPI tell a job by its environment."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping

IDENTIFIERS = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_NODELIST",
    "SLURM_CLUSTER_NAME",
    "PBS_JOBID",
    "PBS_ARRAY_INDEX",
    "PBS_JOBNAME",
)
_JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
# Set by the process managers of MPICH and its kin, Open MPI, and PMIx.
_LAUNCHED = ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "MPI_LOCALRANKID")
_TASKS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


def identifiers(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The batch system's names for this job."""
    return {name: environ[name] for name in IDENTIFIERS if name in environ}


def job_id(environ: Mapping[str, str] = os.environ) -> str:
    """The batch system's number of this job; empty without one."""
    return next((environ[name] for name in _JOB_IDS if environ.get(name)), "")


def launched(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher of MPI has started this process."""
    return any(name in environ for name in _LAUNCHED)


def n_tasks(environ: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher has started, as far as it says."""
    found = (environ.get(name, "") for name in _TASKS)
    return max(int(text) if re.fullmatch("[0-9]+", text) else 1 for text in found)


def scratch(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Folders of the node for the time of the job, the best first."""
    return [*filter(None, (environ.get("SLURM_TMPDIR"), environ.get("TMPDIR"))), "/tmp"]


def scheduled_end(environ: Mapping[str, str] = os.environ) -> float | None:
    """Unix time at which SLURM or PBS ends this job; None where neither says."""
    if re.fullmatch("[0-9]+", environ.get("SLURM_JOB_END_TIME", "")):
        return float(environ["SLURM_JOB_END_TIME"])
    if environ.get("PBS_JOBID"):
        return _pbs_end(environ)
    return None


def _pbs_end(environ: Mapping[str, str]) -> float | None:
    """PBS sets no variable for it (Torque does, for the length): ask qstat."""
    text = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        text = subprocess.run(
            ["qstat", "-f", environ["PBS_JOBID"]], capture_output=True, text=True, timeout=20
        ).stdout
    start = time.time()
    if found := re.search(r"^\s*stime = (.+)$", text, re.MULTILINE):
        with contextlib.suppress(ValueError):
            start = time.mktime(time.strptime(found[1].strip(), "%a %b %d %H:%M:%S %Y"))
    if found := re.search(r"^\s*Resource_List\.walltime = (\d+):(\d+):(\d+)", text, re.MULTILINE):
        hours, minutes, seconds = map(int, found.groups())
        return start + 3600 * hours + 60 * minutes + seconds
    if re.fullmatch("[0-9]+", environ.get("PBS_WALLTIME", "")):
        return start + float(environ["PBS_WALLTIME"])
    return None
