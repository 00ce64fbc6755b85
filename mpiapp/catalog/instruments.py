"""Which instruments and bands there may be: the catalog's, and others of any name."""

from __future__ import annotations

from .names import name_problem
from .quantities import INSTRUMENT_BANDS

LONGEST_BAND = 8


def instrument_problem(instrument: str) -> str:
    """Why this cannot be an instrument, as the end of a sentence; empty if it can.

    Beside the catalog's there may be others, whose bands have any names.
    """
    if instrument not in INSTRUMENT_BANDS and instrument.upper() in INSTRUMENT_BANDS:
        return f"is {instrument.upper()} in capitals"
    return name_problem(instrument)


def band_problem(band: str, instrument: str) -> str:
    """Why an instrument cannot have this band, as the end of a sentence; empty if it can."""
    if instrument not in INSTRUMENT_BANDS:
        return name_problem(band) or (
            f"is longer than {LONGEST_BAND} characters" if len(band) > LONGEST_BAND else ""
        )
    bands = INSTRUMENT_BANDS[instrument]
    return "" if band in bands else f"is none of {', '.join(bands)} for {instrument}"
