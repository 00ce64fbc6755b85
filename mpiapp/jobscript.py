"""`mpiapp jobscript`: batch scripts for the machines of a table (mpiapp/machines.toml).

The scripts in jobscripts/ are the templates: their directives and the block that a user edits are
filled in.  Every value that comes from outside is quoted for the shell.  No shell reads a
scheduler's directives: they take one line of printable characters.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .catalog.fault import ConfigError
from .toml import tomllib

KINDS = ("job", "requeue", "array", "merge", "scaling")
MACHINES = Path(__file__).with_name("machines.toml")
_SCRIPTS = Path(__file__).with_name("jobscripts")

# Requests of a site: the machine's field, and its directive.
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
    if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", walltime):
        raise ConfigError(f"walltime {walltime!r}: expected HH:MM:SS")
    if len(script.splitlines()) > 1:
        raise ConfigError(f"script {script!r}: a name on one line is needed")
    if min(nodes, ranks, shards) < 1:
        raise ConfigError("nodes, ranks and shards must be at least 1")
    if kind == "merge":
        nodes, ranks = 1, 1
    merge = Path(script).with_name(f"merge.{machine.scheduler}")
    text = (_SCRIPTS / f"{kind}.{machine.scheduler}").read_text()
    text = re.sub(
        r"jobscripts/(\w+)\.\w+",
        lambda found: shlex.quote(script if found[1] == kind else str(merge)),
        text,
    )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64] or "mpiapp"
    for directive, value in _directives(machine, name, nodes, ranks, walltime, shards).items():
        text = _fill(rf"#\w+ {directive}", value, text)
    variables = {
        "config": shlex.quote(config),
        "environment": shlex.quote(machine.environment),
        "modules": f"({' '.join(map(shlex.quote, machine.modules))})",
        "launcher": f"({' '.join(map(shlex.quote, shlex.split(machine.launcher)))})",
        "parts": str(shards),
    }
    for variable, value in variables.items():
        text = _fill(f"{variable}=", value, text)
    sentinel = {"slurm": "#SBATCH ", "pbs": "#PBS "}[machine.scheduler]
    directives, blank, rest = text.partition("\n\n")
    return "\n".join([directives, *(sentinel + line for line in machine.site)]) + blank + rest


def _directives(
    machine: Machine, name: str, nodes: int, ranks: int, walltime: str, shards: int
) -> dict[str, str]:
    """What stands behind each directive of the scheduler."""
    memory = 1000 * machine.memory_gb / machine.cores  # MB of a rank
    if machine.scheduler == "slurm":
        return {
            "--job-name=": name,
            "--nodes=": str(nodes),
            "--ntasks-per-node=": str(ranks),
            "--mem-per-cpu=": f"{int(memory)}M",
            "--time=": walltime,
            "--array=1-": str(shards),
        }
    select = f"{nodes}:ncpus={ranks}:mpiprocs={ranks}:ompthreads=1:mem={int(memory * ranks)}mb"
    return {
        "-N ": name,
        "-l select=": select,
        "-l walltime=": walltime,
        "-J 1-": str(shards),
    }


def _fill(begin: str, value: str, text: str) -> str:
    """Put a value into the line that begins so, where there is one, and keep its comment."""
    return re.sub(
        rf"^({begin})\S*?(\(.*?\))?(?=    #|$)", lambda m: m[1] + value, text, count=1, flags=re.M
    )
