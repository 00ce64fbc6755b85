"""Opening the files of an observation: FITS, packed or not, and short texts.

Whatever a broken file makes astropy raise becomes an InputError with the file's name.
"""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from ..catalog.fault import InputError
from ..files.regular import open_regular

# An event list of a deep field has some 10^8 bytes; a packed one that grows beyond this is none.
MAX_BYTES = 4 << 30
_MAX_TEXT = 64 << 20
# Primary header and that of the events, with the history that CIAO's tools write.
_HEADERS = 2 << 20


def read_bytes(path: str | os.PathLike, limit: int = MAX_BYTES, only: int = 0) -> bytes:
    """All of a file, unpacked if it is gzip; InputError if it cannot be read or is too large.

    only : so many bytes of its begin, if more than 0
    """
    with open_regular(path, packed=True) as file:
        start = file.peek(2)[:2]
        try:
            stream = gzip.GzipFile(fileobj=file) if start == b"\x1f\x8b" else file
            content = stream.read(only or limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: cannot be unpacked ({error}); get it anew") from None
    if len(content) > limit:
        raise InputError(f"{path}: more than {limit} bytes; check that it is the right file")
    return content


def read_text(path: str | os.PathLike) -> str:
    """A text file as UTF-8, other bytes replaced."""
    return read_bytes(path, _MAX_TEXT).decode("utf-8-sig", "replace")


@contextmanager
def open_fits(path: str | os.PathLike, headers: bool = False) -> Iterator[fits.HDUList]:
    """The HDUs of a FITS file; any failure to use them is an InputError that names the file.

    headers : of a large file only its first headers are wanted
    """
    content = read_bytes(path, only=_HEADERS if headers else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                yield hdus
        except InputError:
            raise
        except Exception as error:  # whatever astropy makes of broken bytes
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path}: cannot be read ({what}); get it anew") from error
