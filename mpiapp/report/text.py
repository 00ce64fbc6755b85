"""Plain tables for people."""

from __future__ import annotations

import math

from astropy.table import Table


def lay_out(table: Table) -> str:
    """All rows and columns of a table, numbers to the right, text to the left."""
    align = [">" if table[name].dtype.kind in "iuf" else "<" for name in table.colnames]
    return "\n".join(printable(line).rstrip() for line in table.pformat(-1, -1, align=align))


def printable(text: str) -> str:
    """Text with what controls a terminal escaped, but for the ends of lines.

    Names in a file may be any bytes.
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def number(value: float, digits: int = 4) -> str:
    """A number to a few significant digits; "NULL" for NaN."""
    if math.isnan(value):
        return "NULL"
    text = f"{value:#.{digits}g}"
    return text.rstrip(".")


def duration(seconds: float) -> str:
    """A time in the unit that people would use."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 0.1 or not seconds else f"{1e3 * seconds:.3g} ms"


def text(value: bytes | str) -> str:
    """A text field of a results file."""
    return value.decode() if isinstance(value, bytes) else value
