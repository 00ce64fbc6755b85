"""The contents of prep3 files, listed before they are measured, on any rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..catalog.fault import Fault, InputError
from ..catalog.scan import FileScan
from ..files.prep3 import owner_of_unreadable, scan_prep3


class ScannedFile(NamedTuple):
    """The contents of one prep3 file.

    If it cannot be used at all, `scan` is None, and `owner` its stack and obsid, if they are known.
    """

    path: str
    digest: str
    scan: FileScan | None
    faults: list[Fault]
    owner: tuple[str, str] | None = None

    def unreadable(self) -> Iterator[tuple[tuple[str, str, str], str]]:
        """(stack, obsid, bundle) that cannot be used at all, and why; of all bundles if empty."""
        if self.owner is not None:
            yield (*self.owner, ""), self.faults[0].message
        for fault in self.faults if self.scan else ():
            if fault.bundle is not None and fault.bundle not in self.scan.bundles:
                yield (self.scan.stack, self.scan.obsid, fault.bundle), fault.message


def scan_here(paths: Sequence[str]) -> list[ScannedFile]:
    """Scan prep3 files in this process."""
    return [scan_file(path) for path in paths]


def scan_file(path: str) -> ScannedFile:
    """Scan one prep3 file; runs on any rank, never raises for bad input."""
    try:
        scan, faults = scan_prep3(path)
    except (InputError, OSError) as error:
        return ScannedFile(path, "", None, [Fault(str(error), path)], owner_of_unreadable(path))
    return ScannedFile(path, scan.digest, scan, faults)
