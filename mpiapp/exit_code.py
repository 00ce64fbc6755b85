"""How a command ended: its exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code means."""

    def __new__(cls, code: int, description: str):
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    OK = 0, "every run ended as planned"
    CRASH = (
        1,
        "the program crashed, or, if a rank died as by lack of memory inside a library, the code "
        "of the launcher or 128 and the signal; what was flushed is on disk, so resume",
    )
    USAGE = 2, "bad call, configuration, input or output"
    STOPPED = 3, "stopped early; what was measured is on disk"
    RUNS_FAILED = 4, "finished, but some runs or inputs failed; `mpiapp show --failures` says why"
    DIFFERS = 5, "of `mpiapp check`: the results are not what their inputs give"
