"""`mpiapp jobscript`: print a batch script for a machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp jobscript slurm job.toml --nodes 4 --walltime 02:00:00 > job.slurm",
    "mpiapp jobscript slurm job.toml --kind array --shards 20 > array.slurm",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("machine", metavar="MACHINE", help="machine of the table of machines")
    p.add_argument("config", metavar="CONFIG", help="TOML file of the job")
    p.add_argument(
        "--kind",
        choices=("job", "requeue", "array", "merge", "scaling"),
        default="job",
        help="what the script is for (job)",
    )
    p.add_argument("--name", default="mpiapp", help="name of the job (mpiapp)")
    p.add_argument("--nodes", type=int, default=1, help="number of nodes (1)")
    p.add_argument("--ranks", type=int, help="ranks on each node (one per core)")
    p.add_argument("--walltime", default="04:00:00", help="HH:MM:SS (04:00:00)")
    p.add_argument("--shards", type=int, default=10, help="parts of an array (10)")
    for name in ("account", "partition", "qos", "constraint", "mail"):
        p.add_argument(f"--{name}", help="instead of the machine's")
    p.add_argument(
        "--directive",
        action="append",
        dest="directives",
        metavar="TEXT",
        help="one more line for the scheduler, for example --directive=--nice=100; may be repeated",
    )
    p.add_argument("--machines", metavar="TABLE", help="table of machines (the package's own)")
    p.add_argument(
        "--script", default="", metavar="FILE", help="where it will lie (KIND.SCHEDULER)"
    )


def main(args: Namespace) -> ExitCode:
    from ..jobscript import MACHINES, SITE, load_machine, render

    given = {name: getattr(args, name) for name in (*SITE, "directives") if getattr(args, name)}
    print(
        render(
            args.kind,
            load_machine(args.machines or MACHINES, args.machine, **given),
            args.config,
            name=args.name,
            nodes=args.nodes,
            ranks=args.ranks,
            walltime=args.walltime,
            shards=args.shards,
            script=args.script,
        ),
        end="",
    )
    return ExitCode.OK
