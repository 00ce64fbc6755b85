"""When each observation was and how long: from the headers of a job's prep3 files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..catalog.fault import InputError
from ..files.prep3 import read_prep3_header
from ..files.prep3_tables import Prep3Header


def observations(paths: Iterable[str]) -> dict[tuple[str, str], Prep3Header]:
    """The header of each (stack, obsid); a number that a file lacks is taken from the next one.

    A file that cannot be read has none: the job has told of it.
    """
    found: dict[tuple[str, str], Prep3Header] = {}
    for path in paths:
        with suppress(InputError):
            header = read_prep3_header(path)
            known = found.setdefault((header.stack, header.obsid), header)
            exposure = header.exposure if known.exposure is None else known.exposure
            mjd = header.mjd if known.mjd is None else known.mjd
            found[header.stack, header.obsid] = known._replace(exposure=exposure, mjd=mjd)
    return found


def starts(paths: Iterable[str]) -> dict[tuple[str, str], float]:
    """MJD of the start of each (stack, obsid) whose files tell it.

    Raises InputError if none does.
    """
    found = {name: o.mjd for name, o in observations(paths).items() if o.mjd is not None}
    if not found:
        raise InputError(
            "no prep3 file has a start of its observation (keyword MJD-OBS): import tables with a "
            "column mjd, or extract from files with MJD-OBS or TSTART"
        )
    return found
