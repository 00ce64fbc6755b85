"""The prep3 files that a rank has in use, read once while they fit into its memory."""

from __future__ import annotations

from collections import OrderedDict

from ..catalog.fault import InputError
from .prep3 import Prep3File, open_prep3

# Per rank; 3,000 obsids of a stack with a dozen sources.
LIMIT = 256 << 20
_FAULT_BYTES = 1000


class Prep3Cache:
    """Open prep3 files by path; the least recently used go when they exceed `limit` bytes."""

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self._files: OrderedDict[str, Prep3File | InputError] = OrderedDict()
        self._nbytes = 0

    def get(self, path: str, digest: str = "") -> Prep3File | InputError:
        """The file, or why it cannot be used: as `open_prep3` says of it and its digest."""
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        try:
            file = open_prep3(path, digest=digest)
        except InputError as error:
            file = error
        self._files[path] = file
        self._nbytes += _size(file)
        while self._nbytes > self.limit and len(self._files) > 1:
            self._nbytes -= _size(self._files.popitem(last=False)[1])
        return file


def _size(file: Prep3File | InputError) -> int:
    return _FAULT_BYTES if isinstance(file, InputError) else file.nbytes
