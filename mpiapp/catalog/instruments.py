"""Which instruments and bands there may be: the catalog's, and others of any name."""

from __future__ import annotations

from .names import name_problem
from .quantities import INSTRUMENT_BANDS

LONGEST_BAND = 8
# CIAO's words for the catalog's bands.
WORDS = {
    "b": "broad",
    "h": "hard",
    "m": "medium",
    "s": "soft",
    "u": "ultrasoft",
    "w": "wide",
}
# What CIAO calls any other band in names of files: its limits in keV, as 0.5-2.
ENERGY_RANGE = r"\d*\.?\d+-\d*\.?\d+"


def instrument_problem(instrument: str) -> str:
    """Why this cannot be an instrument, as the end of a sentence; empty if it can.

    Beside the catalog's there may be others, whose bands have any names.
    """
    if instrument not in INSTRUMENT_BANDS and instrument.upper() in INSTRUMENT_BANDS:
        return f"is {instrument.upper()} in capitals"
    return name_problem(instrument)


def band_problem(band: str, instrument: str) -> str:
    """Why an instrument cannot have this band, as the end of a sentence; empty if it can.

    Single letters of the catalog's instruments, and CIAO's words for them, are the catalog's bands.
    """
    bands = INSTRUMENT_BANDS.get(instrument, ())
    if band in bands:
        return ""
    if bands and (len(band) < 2 or band.lower() in WORDS.values()):
        return f"is none of {', '.join(bands)} for {instrument}, nor a longer name of your own"
    if len(band) > LONGEST_BAND:
        return f"is longer than {LONGEST_BAND} characters"
    return name_problem(band)
