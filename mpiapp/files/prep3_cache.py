"""The obsids whose prep3 files a rank has in use, read once while they fit into its memory."""

from __future__ import annotations

from collections import OrderedDict

from ..catalog.fault import InputError
from ..catalog.scan import Files
from .prep3 import Prep3File, read_obsid

# Per rank; 3,000 obsids of a stack with a dozen sources.
LIMIT = 256 << 20
_FAULT_BYTES = 1000


class Prep3Cache:
    """Obsids by their files; the least recently used go when they exceed `limit` bytes."""

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self.nbytes = 0
        self._held: OrderedDict[Files, Prep3File | InputError] = OrderedDict()

    def get(self, files: Files) -> Prep3File | InputError:
        """The answer of `read_obsid` for files and their digests, or why they cannot be used."""
        if files in self._held:
            self._held.move_to_end(files)
            return self._held[files]
        try:
            held = read_obsid(files)
        except InputError as error:
            held = error
        self._held[files] = held
        self.nbytes += _size(held)
        while self.nbytes > self.limit and len(self._held) > 1:
            self.nbytes -= _size(self._held.popitem(last=False)[1])
        return held


def _size(held: Prep3File | InputError) -> int:
    return _FAULT_BYTES if isinstance(held, InputError) else held.nbytes
