"""`mpiapp jobscript`: batch scripts for the machines of a table (mpiapp/machines.toml).

The scripts in jobscripts/ are those of the machines "slurm" and "pbs" of that table.
Every value that comes from outside is quoted for the shell.  No shell reads a
scheduler's directives: they take one line of printable characters.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .config import ConfigError
from .toml import tomllib

KINDS = ("job", "requeue", "array", "merge", "scaling")
MACHINES = Path(__file__).with_name("machines.toml")

# What a site asks for: the machine's field, and the directive that says it.
_SITE = {
    "slurm": {
        "account": "--account={}",
        "partition": "--partition={}",
        "qos": "--qos={}",
        "constraint": "--constraint={}",
        "mail": "--mail-type=END,FAIL --mail-user={}",
    },
    "pbs": {"account": "-A {}", "partition": "-q {}", "qos": "-l qos={}", "mail": "-m ae -M {}"},
}
SITE = tuple(_SITE["slurm"])

Word = Annotated[str, Field(pattern=r"^[!-~]*$")]
Line = Annotated[str, Field(pattern=r"^[ -~]+$")]


class Machine(BaseModel):
    """A cluster: one table of a table of machines.

    `account` to `mail` become directives of the scheduler (`partition`: PBS's queue),
    `directives` are more of them, as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheduler: Literal["slurm", "pbs"]
    cores: Annotated[int, Field(ge=1)]
    memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    launcher: str
    modules: list[str] = []
    environment: str = ".venv"
    account: Word = ""
    partition: Word = ""
    qos: Word = ""
    constraint: Word = ""
    mail: Word = ""
    directives: list[Line] = []

    @model_validator(mode="after")
    def _sayable(self) -> Machine:
        shlex.split(self.launcher)
        if self.scheduler == "pbs" and self.constraint:
            raise ValueError("constraint: PBS has no directive for it; use directives")
        return self

    @property
    def site(self) -> list[str]:
        """The directives that only this site asks for."""
        said = _SITE[self.scheduler].items()
        return [f.format(v) for name, f in said if (v := getattr(self, name))] + self.directives


def load_machine(path: str | Path, name: str, **given) -> Machine:
    """The machine called `name` of a table, with what is `given` instead of its own.

    Raises ConfigError if there is none, or it is no machine.
    """
    try:
        machines = tomllib.loads(Path(path).read_bytes().decode("utf-8"))
        return Machine.model_validate({**machines[name], **given})
    except KeyError:
        known = ", ".join(sorted(machines))
        raise ConfigError(f"{path}: no machine {name!r}; there are {known}") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: {name}: {'; '.join(faults)}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def render(
    kind: str,
    machine: Machine,
    config: str,
    *,
    name: str = "mpiapp",
    nodes: int = 1,
    ranks: int | None = None,
    walltime: str = "04:00:00",
    shards: int = 10,
    script: str = "",
) -> str:
    """A batch script.

    Parameters
    ----------
    kind : str
        One of KINDS.
    config : str
        Path of the configuration, from the folder that the job is submitted from.
    ranks : int, optional
        Ranks on each node; one per core by default.
    walltime : str
        Hours, minutes and seconds: HH:MM:SS.
    script : str
        Where it will lie, from the folder that the job is submitted from; KIND.SCHEDULER
        by default.

    Raises
    ------
    ConfigError
        If the walltime is no time, or a number is below 1.
    """
    ranks = ranks or machine.cores
    script = script or f"{kind}.{machine.scheduler}"
    sentinel = f"#{'SBATCH' if machine.scheduler == 'slurm' else 'PBS'} "
    if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", walltime):
        raise ConfigError(f"walltime {walltime!r}: expected HH:MM:SS")
    if len(script.splitlines()) > 1:
        raise ConfigError(f"script {script!r}: a name on one line is needed")
    if min(nodes, ranks, shards) < 1:
        raise ConfigError("nodes, ranks and shards must be at least 1")
    if kind == "merge":
        nodes, ranks = 1, 1
    values = {
        "name": re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64] or "mpiapp",
        "nodes": nodes,
        "ranks": ranks,
        "walltime": walltime,
        "memory": int(1000 * machine.memory_gb / machine.cores),
        "memory_node": int(1000 * machine.memory_gb * ranks / machine.cores),
        "shards": shards,
        "config": shlex.quote(config),
        "environment": shlex.quote(machine.environment),
        "modules": " ".join(map(shlex.quote, machine.modules)),
        "launcher": " ".join(map(shlex.quote, shlex.split(machine.launcher))),
        "script": shlex.quote(script),
        "merge": shlex.quote(str(Path(script).with_name(f"merge.{machine.scheduler}"))),
    }
    scheduler = _SLURM if machine.scheduler == "slurm" else _PBS
    parts = [
        "#!/usr/bin/env bash",
        f"# {_TITLES[kind]}",
        f"# Made by `mpiapp jobscript --kind {kind}`, which also fills in what is edited here.",
        scheduler["submit"][kind],
        scheduler["directives"],
        *scheduler["extra"].get(kind, ()),
        *(sentinel + line.replace("$", "$$") for line in machine.site),
        "",
        *((_CONFIG, _EDIT, _LAUNCHER) if kind != "merge" else (_EDIT,)),
        *_MORE[kind],
        *scheduler["more"].get(kind, ()),
        "# " + 93 * "-",
        "",
        scheduler["setup"],
        scheduler["ranks"] if kind != "merge" else None,
        _BODY[kind].replace("@AGAIN@", scheduler["again"]).replace("@PART@", scheduler["part"]),
    ]
    text = "\n".join(part for part in parts if part is not None)
    return Template(text).substitute(values)


_TITLES = {
    "job": "One MPI job.  Submitted again, it continues where it stopped.",
    "requeue": "One MPI job that queues itself again until everything is measured.",
    "array": "The work in parts, each an MPI job of its own; merge them afterwards.",
    "merge": "Make one results file of those of an array's parts.",
    "scaling": "The same work on 1, 2, 4, … workers, to compare machines and choose a number.",
}

# Everything that a user changes; values of a script's variables are quoted when rendered.
_EDIT = """\
environment=$environment    # virtual environment that mpiapp is installed in
modules=($modules)    # e.g. (gcc openmpi); none if the environment brings its MPI"""
_CONFIG = "config=$config    # from the folder you submit from"
_LAUNCHER = """\
# (srun --kill-on-bad-exit=1), with --mpi=pmi2 for the mpich wheel, or (mpiexec)
launcher=($launcher)"""

_MORE = {
    "job": (),
    "requeue": ("restarts=20    # at most so often",),
    "array": ("parts=$shards    # as in the array directive above",),
    "merge": ("results=results.h5    # as in the configuration; its parts lie beside it",),
    "scaling": ("results=scaling    # folder for one results file per number of workers",),
}

_BODY = {
    "job": """\
# 0: done.  3: stopped in time, submit again.  4: done, but some runs failed.
"$${launcher[@]}" -n "$$ranks" python -m mpiapp run "$$config" --resume
""",
    "requeue": """\
code=0
"$${launcher[@]}" -n "$$ranks" python -m mpiapp run "$$config" --resume || code=$$?
# 3: stopped in time, to be continued.  Any other code is the end, good or bad.
if ((code == 3)); then
    @AGAIN@
fi
exit "$$code"
""",
    "array": """\
# Each part resumes by itself; submit a single one again by its number.
"$${launcher[@]}" -n "$$ranks" python -m mpiapp run "$$config" --resume --shard "@PART@/$$parts"
""",
    "merge": """\
# 3: parts or runs are missing, and named.  4: done, but some runs failed.
shopt -s nullglob
python -m mpiapp merge "$$results" "$${results%.h5}".shard*of*.h5{,.part}
""",
    "scaling": """\
mkdir -p "$$results"
files=()
for ((workers = 1; workers < ranks; workers *= 2)); do
    file=$$results/$$workers.h5
    rm -f "$$file" "$$file.part"
    # Rank 0 hands out the work: one rank more than workers.
    "$${launcher[@]}" -n "$$((workers + 1))" python -m mpiapp run "$$config" --output "$$file"
    files+=("$$file")
done
python -m mpiapp timing "$${files[@]}" --plot "$$results"
""",
}

_SETUP = """\
((${#modules[@]})) && module load "${modules[@]}"
# shellcheck disable=SC1091  # the environment exists only on the cluster
. "$environment/bin/activate"

# A rank is one thread: more would only fight over its core.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
""".replace("$", "$$")

_SLURM = {
    "submit": {
        "array": "# Edit the block below, then:\n"
        "#   id=$$(sbatch --parsable $script)\n"
        "#   sbatch --dependency=afterany:$$id $merge",
        **dict.fromkeys(
            ("job", "requeue", "merge", "scaling"), "# Edit the block below, then: sbatch $script"
        ),
    },
    "directives": """\
#SBATCH --job-name=$name
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$ranks
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=${memory}M
#SBATCH --time=$walltime""",
    "extra": {
        "job": (
            "#SBATCH --output=mpiapp-%j.log",
            "#SBATCH --signal=USR1@120    # the second guard: the job watches the clock itself",
        ),
        "requeue": (
            "#SBATCH --output=mpiapp-%j.log",
            "#SBATCH --open-mode=append    # one log for all its turns",
            "#SBATCH --requeue",
            "#SBATCH --signal=USR1@120    # the second guard: the job watches the clock itself",
        ),
        "array": (
            "#SBATCH --output=mpiapp-%A_%a.log",
            "#SBATCH --array=1-$shards",
            "#SBATCH --signal=USR1@120    # the second guard: the job watches the clock itself",
        ),
        "merge": ("#SBATCH --output=mpiapp-%j.log",),
        "scaling": (
            "#SBATCH --output=mpiapp-%j.log",
            "#SBATCH --exclusive    # timing needs the nodes for itself",
        ),
    },
    "setup": "set -euo pipefail\n"
    + _SETUP
    + """
# Ranks compile in TMPDIR.  A disk of the node is faster there than the shared file system.
export TMPDIR=$${SLURM_TMPDIR:-$${TMPDIR:-/tmp}}
""",
    "ranks": """\
ranks=$$SLURM_NTASKS
""",
    "more": {},
    "again": """if ((${SLURM_RESTART_COUNT:-0} < restarts)); then
        scontrol requeue "$SLURM_JOB_ID"    # starts again after about two minutes
    fi""".replace("$", "$$"),
    "part": "$$SLURM_ARRAY_TASK_ID",
}

_PBS = {
    "submit": {
        "array": "# Edit the block below, then:\n"
        "#   id=$$(qsub $script)\n"
        '#   qsub -W depend=afterany:"$$id" $merge',
        **dict.fromkeys(
            ("job", "requeue", "merge", "scaling"), "# Edit the block below, then: qsub $script"
        ),
    },
    "directives": """\
# ompthreads=1 matters: PBS would set OMP_NUM_THREADS to ncpus.
#PBS -N $name
#PBS -l select=$nodes:ncpus=$ranks:mpiprocs=$ranks:ompthreads=1:mem=${memory_node}mb
#PBS -l walltime=$walltime
#PBS -j oe""",
    "extra": {"array": ("#PBS -J 1-$shards",), "scaling": ("#PBS -l place=excl",)},
    "setup": "set -euo pipefail\n"
    + 'cd "$$PBS_O_WORKDIR"    # PBS starts jobs in the home folder\n'
    + _SETUP
    + """
# PBS keeps its own log until the job ends; this one can be read meanwhile.
log=mpiapp-$${PBS_JOBID%%.*}.log
exec >>"$$log" 2>&1

# PBS signals every process of the job; the shell has to outlive mpiapp, which ends in order.
trap : TERM USR1
""",
    "ranks": """\
# The node file has a line for each rank; naming it works also where the MPI knows nothing of PBS.
ranks=$$(wc -l <"$$PBS_NODEFILE")
launcher+=(-hostfile "$$PBS_NODEFILE")
""",
    "more": {"requeue": ("script=$script    # this file, from the folder you submit from",)},
    "again": """turn=${MPIAPP_TURN:-0}
    if ((turn < restarts)); then
        qsub -v MPIAPP_TURN="$((turn + 1))" "$script"
    fi""".replace("$", "$$"),
    "part": "$$PBS_ARRAY_INDEX",
}
