"""Headers of tables like one that was read before, without all of astropy's work for each.

The PSF extensions of a catalog have the same columns: they differ in the values of a few
keywords.  astropy reads the first such header whole, and of the others the cards that
differ, each distinct one once.  Whatever is unusual about a header is left to astropy.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import numpy as np
from astropy.io import fits

_BLOCK = 2880
_CARD = 80
_MOST_BLOCKS = 20
_MOST_TABLES = 10_000
# Keywords whose values tell one table of a kind from another.
_VARIABLE = frozenset(
    f"{name:8}".encode()
    for name in (
        "EXTNAME", "BAND", "APERTURE", "QUANTITY", "NAXIS2", "PCOUNT", "CHECKSUM", "DATASUM",
    )
)  # fmt: skip


class Layout(NamedTuple):
    """The columns of a binary table.

    dtype : of its rows, big-endian
    formats : lower-case name -> (name, TFORM, whether TSCAL or TZERO change its values)
    """

    dtype: np.dtype
    formats: dict[str, tuple[str, str, bool]]

    @classmethod
    def of(cls, columns: fits.ColDefs) -> Layout:
        """As astropy has read it from a header."""
        formats = {
            c.name.lower(): (
                c.name,
                c.format,
                c.bscale not in (None, "", 1) or c.bzero not in (None, "", 0),
            )
            for c in columns
        }
        return cls(columns.dtype.newbyteorder(">"), formats)


class KnownTable(NamedTuple):
    """A binary table whose header is like one that astropy has read.

    `header` has the value of each keyword, but of CHECKSUM only whether it is there; the `size`
    bytes of data begin at `start`.
    """

    header: dict[str, object]
    layout: Layout
    start: int
    size: int

    @property
    def span(self) -> int:
        """Bytes of the data with what pads them."""
        return self.size + -self.size % _BLOCK

    @property
    def name(self) -> str:
        return self.header["EXTNAME"]


# By what is the same in all headers of a kind: their values and their layout.
_tables: dict[bytes, tuple[dict[str, object], Layout]] = {}


def known_table(file: BinaryIO, begin: int, end: int) -> KnownTable | None:
    """The table whose header begins there in a file that ends at `end`; None: ask astropy."""
    image = _header(file, begin)
    if image is None:
        return None
    key, cards = _parted(image)
    if key not in _tables:
        return None
    common, layout = _tables[key]
    header = dict(common)
    for name, card in cards.items():
        if name in ("CHECKSUM", "DATASUM"):
            if card[8:11] != b"= '" or card[11:12] in b"' ":
                return None
            header[name] = True
            continue
        try:
            header[name] = _value(card)
        except Exception:  # astropy raises and warns of many things; it will be asked again
            return None
    sizes, name = (header["NAXIS2"], header["PCOUNT"]), header.get("EXTNAME")
    if not all(type(n) is int and n >= 0 for n in sizes) or not isinstance(name, str):
        return None
    if name != name.strip().upper():  # what astropy makes of it
        return None
    size = header["NAXIS1"] * header["NAXIS2"] + header["PCOUNT"]
    table = KnownTable(header, layout, begin + len(image), size)
    return table if table.start + table.span <= end else None


def n_axes(file: BinaryIO, begin: int) -> int:
    """NAXIS of the header that begins there, 0 where there is none that is a number."""
    file.seek(begin)
    image = file.read(_MOST_BLOCKS * _BLOCK)
    for at in range(0, len(image), _CARD):
        if image[at : at + 10] == b"NAXIS   = ":
            with suppress(ValueError):
                return int(image[at + 10 : at + _CARD].partition(b"/")[0])
            return 0
        if image[at : at + 8] == b"END     ":
            return 0
    return 0


def remember(image: bytes, hdu: fits.BinTableHDU, layout: Layout) -> None:
    """Know headers like this one from now on, unless there is something unusual about it."""
    header = hdu.header
    names = [name for name in header if name not in ("COMMENT", "HISTORY", "")]
    usual = len(set(names)) == len(names) and (header["BITPIX"], header["NAXIS"]) == (8, 2)
    if not usual or header["GCOUNT"] != 1 or b"CONTINUE" in image or b"HIERARCH" in image:
        return
    if any(scaled for _, _, scaled in layout.formats.values()):
        return
    key, cards = _parted(image)
    if len(_tables) >= _MOST_TABLES:
        _tables.clear()
    _tables[key] = {name: header[name] for name in names if name not in cards}, layout


def _header(file: BinaryIO, begin: int) -> bytes | None:
    """The blocks from there to the one with the END card; None if it is far or absent."""
    file.seek(begin)
    image = b""
    for _ in range(_MOST_BLOCKS):
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            return None
        image += block
        at = block.find(b"END     ")
        while at >= 0:
            if at % _CARD == 0:
                return image
            at = block.find(b"END     ", at + 1)
    return None


def _parted(image: bytes) -> tuple[bytes, dict[str, bytes]]:
    """What headers of a kind have in common, and the cards in which they differ."""
    common, cards = [], {}
    for at in range(0, len(image), _CARD):
        card = image[at : at + _CARD]
        if card[:8] in _VARIABLE:
            cards[card[:8].decode().rstrip()] = card
            card = card[:8]
        common.append(card)
    return b"".join(common), cards


@lru_cache(maxsize=1 << 16)
def _value(card: bytes) -> object:
    """The value of a card; raises whatever astropy does."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed = fits.Card.fromstring(card)
        parsed.verify("exception")
        if isinstance(parsed.value, fits.card.Undefined):
            raise ValueError("no value")
        return parsed.value
