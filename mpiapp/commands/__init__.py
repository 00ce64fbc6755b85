"""The commands, a file each: its help, its examples, its arguments, and what it does with them.

The docstring is the help, EXAMPLES are shown by `--help` (a test calls the parser with each), NOTES
too where there are any.  `add_arguments` completes a parser; `main` does the work and returns the
exit code.  What takes time to import is imported where it is needed: `mpiapp --help` answers at
once, and numpy must not load before `cli.main` has set the number of threads.
"""

from . import (
    blocks,
    check,
    compare,
    export,
    extract,
    import_tables,
    init,
    jobscript,
    lightcurve,
    measure,
    merge,
    plan,
    plot,
    report,
    run,
    show,
    simulate,
    timing,
    verify,
)

# In the order of the help.
COMMANDS = {
    "init": init,
    "run": run,
    "merge": merge,
    "jobscript": jobscript,
    "plan": plan,
    "import": import_tables,
    "extract": extract,
    "measure": measure,
    "simulate": simulate,
    "show": show,
    "export": export,
    "blocks": blocks,
    "lightcurve": lightcurve,
    "check": check,
    "compare": compare,
    "plot": plot,
    "verify": verify,
    "report": report,
    "timing": timing,
}
