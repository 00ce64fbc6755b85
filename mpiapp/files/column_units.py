"""The one rule for units: converted by astropy, or refused with the column and both units."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from astropy import units

from ..catalog.fault import InputError

# Words that tables use for units and astropy does not know, in capitals or not.
_WORDS = {name.lower(): name for name in ("count", "photon", "pixel", "cm", "erg", "keV", "arcsec")}
_WORDS |= {"counts": "count", "cts": "count", "photons": "photon", "phot": "photon"}
_WORDS |= {"pixels": "pixel", "sec": "s", "secs": "s", "second": "s", "seconds": "s"}
_WORDS |= {"degrees": "deg", "ergs": "erg", "percent": "%"}
# A column's name and its unit in the head of a text table: AREA (pixel), AREA [pixel].
_NAME_AND_UNIT = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]+)[)\]]")


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> units.UnitBase | None:
    """The unit that a table means by `text`; None for a text that is no unit."""
    spelled = re.sub(r"[A-Za-z]+", lambda word: _WORDS.get(word[0].lower(), word[0]), text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        for candidate in (text.strip(), spelled.strip()):
            try:
                return units.Unit(candidate)
            except (ValueError, TypeError):
                continue
    return None


def split_unit(head: str) -> tuple[str, str]:
    """The name of a column and its unit, "" for none, from the head of a text table."""
    match = _NAME_AND_UNIT.fullmatch(head)
    unit = match[2].strip() if match else ""
    # A letter alone is more often a band or a field than an ampere or a volt.
    is_unit = (len(unit) > 1 or unit in ("s", "%")) and parse_unit(unit) is not None
    return (match[1], unit) if is_unit else (head, "")


def is_convertible(unit: object, expected: str) -> bool:
    """Whether numbers in `unit` can be converted; counts and photons are plain numbers."""
    known = parse_unit(str(unit))
    return known is not None and _bare(known).is_equivalent(_bare(units.Unit(expected)))


def inverse(unit: object) -> str | None:
    """The unit of the reciprocals of numbers in `unit`."""
    text = "" if unit is None else str(unit).strip()
    known = parse_unit(text) if text else None
    return text or None if known is None else (known**-1).to_string()


def factor(unit: object, expected: str, what: str) -> float:
    """Factor from `unit` to `expected`; 1 without a unit.

    Raises InputError, with `what` and both units, if that cannot be.
    """
    text = "" if unit is None else str(unit).strip()
    if not text or text == expected:
        return 1.0
    if not is_convertible(text, expected):
        raise InputError(f"{what}: unit {text}, expected {expected or 'none'}")
    number = _bare(parse_unit(text)).to(_bare(units.Unit(expected)))
    # Two ways to write one unit differ by the rounding of powers of ten.
    return 1.0 if abs(number - 1.0) < 1e-12 else float(number)


def _bare(unit: units.UnitBase) -> units.UnitBase:
    """A unit without counts and photons, which are numbers; square pixels are pixels."""
    if unit == units.pix**2:
        unit = units.pix
    plain = unit.decompose()
    kept = [(b, p) for b, p in zip(plain.bases, plain.powers) if b not in (units.ct, units.ph)]
    return units.CompositeUnit(plain.scale, [b for b, _ in kept], [p for _, p in kept])
