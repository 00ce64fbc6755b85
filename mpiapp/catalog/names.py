"""Names as printable ASCII, so that FITS and compact numpy arrays can hold any text.

FITS strings are ASCII and lose their trailing blanks; numpy byte strings lose
trailing NULs.  Names are therefore percent-encoded as in a URL (UTF-8), but
only where they have to be: `r0115` and `acisfJ0332_001` stay as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from .bundle import InputError

_PLAIN = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")
_NEEDS_NOTHING = re.compile(r"[!-$&-~]+(?: +[!-$&-~]+)*", re.ASCII)


def encode_name(name: str) -> bytes:
    """`name` as printable ASCII without blanks at its ends; InputError if it is empty."""
    if _NEEDS_NOTHING.fullmatch(name):
        return name.encode("ascii")
    if not name:
        raise InputError("a name is empty; give each stack, obsid, bundle and component a name")
    body = name.strip(" ")
    lead = len(name) - len(name.lstrip(" "))
    try:
        text = quote(body, safe=_PLAIN)
    except UnicodeEncodeError:
        raise InputError(f"the name {name!r} is not valid Unicode; rename it") from None
    if not body:
        return b"%20" * len(name)
    return ("%20" * lead + text + "%20" * (len(name) - lead - len(body))).encode("ascii")


def encode_or_empty(name: str) -> bytes:
    """As `encode_name`, with the empty name for itself."""
    return encode_name(name) if name else b""


@lru_cache(maxsize=100_000)
def decode_name(encoded: bytes) -> str:
    """The inverse of `encode_name`; bytes that are not ASCII come out as replacement signs."""
    return unquote(encoded.decode("ascii", "replace"), errors="replace")
