"""`mpiapp init`: write a commented configuration for a folder of files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp init catalog                     # writes job.toml for catalog/*prep3.fits",
    "mpiapp init catalog exact.toml --engine exact",
    "mpiapp init --from products field.toml  # which files to extract",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("folder", metavar="FOLDER", nargs="?", help="folder with prep3 files")
    p.add_argument("config", metavar="CONFIG", nargs="?", help="(job.toml)")
    p.add_argument(
        "--from",
        dest="files",
        metavar="FILES",
        help="a field file (field.toml) for the files to extract that lie in this folder",
    )
    p.add_argument("--engine", metavar="NAME", help="engine of the configuration (pymc3)")


def main(args: Namespace) -> ExitCode:
    from ..catalog.fault import ConfigError

    if args.files:
        if args.config:
            raise ConfigError("--from FILES takes one more name, of the field file to write")
        return _init_field(args.files, args.folder or "field.toml")
    if not args.folder:
        raise ConfigError("name a folder of prep3 files, or --from a folder of files to extract")
    from ..starter import starter

    config = args.config or "job.toml"
    _write_new(config, starter(args.folder, args.engine))
    print(f"{config}: next, mpiapp plan {config}, then mpiapp run {config}")
    return ExitCode.OK


def _init_field(folder: str, path: str) -> int:
    import os

    from ..catalog.fault import InputError
    from ..extract.suggest import draft_field

    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no folder; name the one with the files to extract")
    draft = draft_field(folder)
    _write_new(path, draft.text(os.path.relpath(folder, os.path.dirname(path) or ".")))
    if draft.lacking:
        print(f"{path}: complete it; not found by their names: {', '.join(draft.lacking)}")
    else:
        print(f"{path}: {len(draft.observations)} observations; next, mpiapp extract {path} prep3")
    return ExitCode.OK


def _write_new(path: str, text: str) -> None:
    from ..catalog.fault import ConfigError

    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already; name another file") from None
