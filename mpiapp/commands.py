"""What each command does with its parsed arguments; everything is imported where it is needed."""

from __future__ import annotations

import sys

from .exit_code import ExitCode


def init(args) -> int:
    from .config import ConfigError

    if args.files:
        if args.config:
            raise ConfigError("--from FILES takes one more name, that of the field file to write")
        return _init_field(args.files, args.folder or "field.toml")
    if not args.folder:
        raise ConfigError("name a folder of prep3 files, or --from a folder of files to extract")
    from .starter import starter

    config = args.config or "job.toml"
    _write_new(config, starter(args.folder, args.engine))
    print(f"{config}: next, mpiapp plan {config}, then mpiapp run {config}")
    return ExitCode.OK


def _init_field(folder: str, path: str) -> int:
    import os

    from .catalog.fault import InputError
    from .extract.suggest import draft_field

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
    from .config import ConfigError

    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already; name another file") from None


def _connect():
    """This process among the ranks of a job; None, and why is said, if they cannot be used."""
    from .parallel import world

    try:
        return world.connect()
    except world.WorldError as error:
        print(f"mpiapp: {error}", file=sys.stderr)
        return None


def run(args) -> int:
    from .parallel.progress import During, UnbreakableStream

    with During("starting", silent=not sys.stderr.isatty()):
        from .parallel import job
        from .parallel.shares import MAX_SHARDS, Shard
        from .parallel.task import Options

    if (here := _connect()) is None:
        return ExitCode.USAGE
    try:
        shard = args.shard and Shard.parse(args.shard)
    except ValueError:
        expected = f"expected K/N with 1 <= K <= N <= {MAX_SHARDS}"
        print(f"mpiapp: --shard {args.shard}: {expected}", file=sys.stderr)
        return ExitCode.USAGE
    options = Options(args.resume, args.force, shard or None, args.output)
    # A job that is measured for hours must not end because nobody reads what it says.
    sys.stdout, sys.stderr = UnbreakableStream(sys.stdout), UnbreakableStream(sys.stderr)
    with here.guard():
        code = job.run(args.config, here, options)
    if args.export and here.rank == 0 and code in (ExitCode.OK, ExitCode.RUNS_FAILED):
        _export_job(args)
    return code


def _export_job(args) -> None:
    """The catalog's table of a job that has ended: master sources, or else those of the stacks."""
    import signal

    from .config import load
    from .files.mst3 import read_mst3
    from .files.results import open_results
    from .files.source_info import read_source_info
    from .products.export import catalog_table, write_table

    left = signal.alarm(0)  # which waits for the end of MPI
    config = load(args.config)
    mst3 = next((i.mst3 for i in config.input if i.mst3), None)
    with open_results(args.output or config.output.results) as results:
        associations = read_mst3(mst3).associations if mst3 else None
        level = "master" if mst3 else "stack"
        prep3 = _prep3_of(results, None)
        info = read_source_info(prep3[0])
        carry = [name for name in ("ra", "dec") if info and name in info.colnames]
        table = catalog_table(results, level, (), associations, carry, prep3)
    print(f"{write_table(table, args.export)}: {len(table)} rows, {len(table.columns)} columns")
    signal.alarm(left)


def export(args) -> int:
    from .files.mst3 import read_mst3
    from .files.results import open_results
    from .products.export import catalog_table, write_table
    from .products.phot3 import write_phot3

    if args.mpdf:
        with open_results(args.results) as results:
            print(f"{args.out}: {write_phot3(results, args.level, args.out)} files")
        return ExitCode.OK
    extras = [name for name in args.extras.split(",") if name]
    carry = [name for name in args.carry.split(",") if name]
    with open_results(args.results) as results:
        mst3 = args.mst3 or (_mst3_of(results, args.inputs) if args.level == "master" else None)
        file = read_mst3(mst3) if mst3 else None
        for fault in file.faults if file else ():
            print(f"mpiapp: {fault.message}", file=sys.stderr)
        prep3 = _prep3_of(results, args.inputs) if carry else []
        associations = file and file.associations
        table = catalog_table(results, args.level, extras, associations, carry, prep3)
    print(f"{write_table(table, args.out)}: {len(table)} rows, {len(table.columns)} columns")
    if not any(name.startswith("hard_") for name in table.colnames):
        print("no hardness ratios: [output] mpdf keeps no photon fluxes of two bands at this level")
    if args.level == "master" and not any(name.startswith("var_") for name in table.colnames):
        needed = "[output] mpdf keeps no photon fluxes of the observations of these masters"
        print(f"no variability: {needed if file else 'name the associations with --mst3'}")
    return ExitCode.OK


def _mst3_of(results, inputs: str | None) -> str | None:
    """The one mst3 file of a job, if it is still where the job had it, or in `inputs`."""
    import contextlib

    from .catalog.fault import InputError
    from .report.rerun import found_config

    with contextlib.suppress(InputError):
        files = {group.mst3 for group in found_config(results, inputs)[0].input if group.mst3}
        return files.pop() if len(files) == 1 else None
    return None


def _prep3_of(results, inputs: str | None) -> list[str]:
    """The prep3 files of a job, in the folder `inputs` if it is given."""
    from .parallel.planning import find_inputs
    from .report.rerun import found_config

    config, _ = found_config(results, inputs)
    return [path for files in find_inputs(config) for path in files.prep3]


def jobscript(args) -> int:
    from .jobscript import MACHINES, SITE, load_machine, render

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


def merge(args) -> int:
    from .catalog.outcome import n_unplanned
    from .files.merge import merge

    merged = merge(args.out, args.results, force=args.force, retry=args.retry)
    done = ", merged already; nothing to do" if merged.already else ""
    print(f"{merged.path}: {merged.n_runs} runs of {len(args.results)} files{done}")
    if merged.gaps:
        for gap in merged.gaps:
            print(f"mpiapp: gap: {gap}", file=sys.stderr)
        print(
            f"mpiapp: complete it with `mpiapp run CONFIG --resume --output {args.out}`, or finish "
            "the shards and merge again",
            file=sys.stderr,
        )
        return ExitCode.STOPPED
    return ExitCode.RUNS_FAILED if n_unplanned(merged.outcomes) else ExitCode.OK


def plan(args) -> int:
    from .config import load
    from .files.results import open_results
    from .parallel.planning import find_inputs, make_plan
    from .parallel.scanning import scan_here
    from .report.cost_model import CostModel
    from .report.plan import plan_table

    config = load(args.config)
    engine = config.engine.create()
    model = None
    if args.timings:
        with open_results(args.timings) as results:
            model = CostModel.fit(results, engine.name)
    plan = make_plan(config, find_inputs(config), scan_here, args.workers, engine.typical_seconds)
    print(plan_table(plan, engine.name, engine.typical_seconds, args.workers, model))
    for hint in plan.hints:
        print(f"hint: {hint}")
    for fault in plan.faults:
        print(f"mpiapp: bad input: {fault.message}", file=sys.stderr)
    return ExitCode.RUNS_FAILED if plan.faults else ExitCode.OK


def import_tables(args) -> int:
    from pathlib import Path

    from .catalog.fault import grouped
    from .files.association_tables import import_associations
    from .files.flat_tables import import_table
    from .files.layouts import Given

    given = Given.of(args.mapping, args.map, args.set)
    before = set(Path(args.directory).glob("*.fits"))
    reports = {args.table: import_table(args.table, args.directory, given)}
    if args.masters:
        out = Path(args.directory) / "mst3.fits"
        tables = " and ".join(filter(None, (args.masters, args.blocks)))
        reports[tables] = import_associations(args.masters, out, args.blocks)
    for table, report in reports.items():
        for said in grouped(report.faults):
            print(f"mpiapp: {said}", file=sys.stderr)
        replaced = len(before.intersection(map(Path, report.files)))
        print(
            f"{table}: {report.accepted} rows accepted, {len(report.faults)} rejected, "
            f"{len(report.files)} files written to {args.directory}"
            + (f", {replaced} of them in place of older ones" if replaced else "")
        )
        for note in report.notes:
            print(f"  {note}")
    failed = any(report.faults for report in reports.values())
    return ExitCode.RUNS_FAILED if failed else ExitCode.OK


def extract(args) -> int:
    from pathlib import Path

    from .parallel.progress import During, UnbreakableStream

    with During("starting", silent=not sys.stderr.isatty()):
        from .extract.find import find_field
        from .extract.positions import write_masters
        from .parallel import extraction
        from .starter import starter

    if (here := _connect()) is None:
        return ExitCode.USAGE
    sys.stdout, sys.stderr = UnbreakableStream(sys.stdout), UnbreakableStream(sys.stderr)
    bands = args.bands.split(",") if args.bands else ()

    def finish(done, field) -> int:
        faults = [fault for one in done.done for fault in one.faults]
        for line in (*field.notes, *faults):
            print(f"mpiapp: {line}", file=sys.stderr)
        print(extraction.summary(done, args.directory))
        if done.stopped:
            print(f"mpiapp: {done.stopped}; the same command goes on", file=sys.stderr)
            return ExitCode.STOPPED
        if args.masters:
            for note in write_masters(args.masters, done.stacks, args.directory):
                print(f"  {note}")
        config = Path(args.directory) / "job.toml"
        if any(one.path for one in done.done) and not config.exists():
            config.write_text(starter(args.directory, "exact"), encoding="utf-8")
            print(f"  next, mpiapp run {config} --export sources.vot")
        if args.report:
            from .report.field_figures import write_gallery

            print(write_gallery(field, done.done, args.directory, args.report))
        return ExitCode.RUNS_FAILED if faults else ExitCode.OK

    with here.guard():
        return extraction.run(lambda: find_field(args.field, bands), args.directory, here, finish)


def measure(args) -> int:
    import os

    from .api import check_engine
    from .catalog.fault import InputError, grouped
    from .files.catalog_tables import read_table
    from .files.counts_table import find_counts
    from .files.layouts import NUMBERS, Given, suits
    from .parallel.warmup import compile_once
    from .products.export import writable, write_table
    from .products.measured import PREFIX, measured_table, n_failed, tally
    from .tables import chosen_quantities, clashing, measure_counts

    check_engine(args.engine)
    if writable(args.out).exists():
        if os.path.exists(args.table) and os.path.samefile(args.out, args.table):
            raise InputError(f"{args.out}: is the table itself; name another file for the results")
        if not args.overwrite:
            raise InputError(f"{args.out}: exists already; name another file, or add --overwrite")
    given = Given.of(args.mapping, args.map, args.set)
    source = read_table(args.table, suits(given, NUMBERS))
    counts = find_counts(source, given)
    if not len(counts):
        raise InputError(f"{source.name}: no row in it; check that it is the right table")
    quantities = chosen_quantities(counts, args.quantities)
    for note in source.notes + counts.layout.notes(source.table.colnames, of_jobs=False):
        print(f"{args.table}: {note}")
    for said in grouped(counts.faults()):
        print(f"mpiapp: {said}", file=sys.stderr)
    prefix = ""
    if clash := clashing(source.table.colnames, quantities, prefix):
        prefix = PREFIX
        print(f"{args.table}: has a column {clash}, so that results are called {prefix}…")
    if again := clashing(source.table.colnames, quantities, prefix):
        raise InputError(
            f"{args.table}: column {again}: the result has one of that name; rename it"
        )
    compile_once(args.engine)
    found = measure_counts(counts, quantities, args.engine, args.seed, processes=args.processes)
    table = measured_table(counts, quantities, found, prefix)
    table.meta |= {"engine": args.engine, "seed": str(args.seed)}
    try:
        write_table(table, args.out)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), args.out) from error
    print(f"{args.out}: {tally(counts, quantities, found)}")
    return ExitCode.RUNS_FAILED if n_failed(counts, quantities, found) else ExitCode.OK


def simulate(args) -> int:
    from .simulate import simulate

    done = simulate(args.directory, args.detections, args.seed, args.preset, args.events)
    print(
        f"{done.detections} detections in {done.obsids} obsids ({done.prep3}), {done.masters} "
        f"master sources ({done.mst3}); truth in {done.truth} and {done.truth_masters}"
    )
    return ExitCode.OK


def show(args) -> int:
    from .files.results import open_results

    with open_results(args.results) as results:
        if args.published:
            from .validate.published import published_table

            print(published_table(results, args.published))
            return ExitCode.OK
        from .report.rows import FILTERS, Filter, photometry, rows_table
        from .report.show import failures_table, job_table

        chosen = {name: getattr(args, name) for name in FILTERS}
        if args.failures:
            print(failures_table(results))
        elif args.out:
            from .products.export import write_table

            table = photometry(results, Filter(**chosen))
            print(f"{write_table(table, args.out)}: {len(table)} rows")
        elif args.rows or any(chosen.values()):
            print(rows_table(results, Filter(**chosen), args.limit))
        else:
            print(job_table(results))
    return ExitCode.OK


def blocks(args) -> int:
    from .files.results import open_results
    from .products.blocks import write_blocks

    with open_results(args.results) as results:
        found = write_blocks(results, args.mst3, args.out, args.aperture, args.penalty)
    for fault in found.faults:
        print(f"mpiapp: {fault.message}", file=sys.stderr)
    print(f"{args.out}: {found.masters} master sources, {found.split} in several blocks")
    print(f"  posteriors: {found.tables} as kept in /mpdf, {found.gammas} as Gamma distributions")
    if found.unmeasured:
        print(f"  {found.unmeasured} observations without a number in any band are in no block")
    if found.unobserved:
        print(f"  {found.unobserved} master sources without an observation keep their blocks")
    return ExitCode.RUNS_FAILED if found.faults else ExitCode.OK


def check(args) -> int:
    from .files.results import open_results
    from .report.check import check

    differs = False
    with open_results(args.results) as results:
        for finding in check(results, None if args.all else args.sample, args.inputs):
            print(finding, flush=True)
            differs |= finding.n_wrong > 0
    return ExitCode.DIFFERS if differs else ExitCode.OK


def report(args) -> int:
    from .files.results import open_results
    from .report.page import write_page

    with open_results(args.results) as results:
        print(write_page(results, args.out))
    return ExitCode.OK


def compare(args) -> int:
    from .report import compare
    from .report.matching import open_side
    from .validate.against_truth import catalog_of, compare_truth

    if catalog := catalog_of(args.reference):
        print(compare_truth(args.results, catalog, args.sample, args.figures))
        return ExitCode.OK
    with open_side(args.results) as side, open_side(args.reference) as reference:
        found = compare.compare(side, reference, args.sample, args.worst)
    by = [name.strip() for name in args.by.split(",") if name.strip()]
    print(compare.report([found], by, args.worst))
    for path in args.out:
        compare.write_table(compare.table_3([found], by), path)
    if args.figures:
        from .report.figures import comparison_figures, difference_figures

        names = side.path.name, f"reference {reference.path.name}"
        paths = comparison_figures(found, args.figures, names)
        paths += difference_figures(found, args.figures)
        print("\n".join(map(str, paths)))
    return ExitCode.OK


def plot(args) -> int:
    if args.field:
        from .extract.find import find_field
        from .report.field_figures import plot_source

        bands = args.bands.split(",") if args.bands else ()
        print(plot_source(find_field(args.results), args.field, args.out, bands, args.obsid))
        return ExitCode.OK
    from .files.results import open_results
    from .report.plot import plot_run

    with open_results(args.results) as results:
        print(plot_run(results, args.run, args.out, args.draws, args.engine, args.inputs))
    return ExitCode.OK


def verify(args) -> int:
    from .catalog.fault import InputError
    from .validate.real_report import verify_catalog
    from .validate.verify import verify

    engines = args.engines.split(",") if args.engines else None
    if args.catalog:
        folder, size = args.report or args.directory, int(args.size or 0)
        print(verify_catalog(args.catalog, engines or ("exact",), folder, size, args.seed))
        return ExitCode.OK
    if not args.directory:
        raise InputError("verify: name a folder, or published rows with --catalog ROWS")
    size = 12 if args.size is None else args.size
    print(verify(args.directory, size, engines, args.ranks, args.seed, args.real, args.report))
    return ExitCode.OK


def timing(args) -> int:
    from .report.timing import timing_tables

    print(timing_tables(args.results))
    if args.plot:
        from .report.scaling import no_scaling, plot_scaling, scaling_of

        if reason := no_scaling(scaling := scaling_of(args.results)):
            print(f"mpiapp: nothing to plot: {reason}", file=sys.stderr)
        else:
            print(f"\n{plot_scaling(scaling, args.plot)}")
    return ExitCode.OK
