"""What prep3 files hold, found out before they are measured, on any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..catalog.fault import Fault, InputError
from ..catalog.scan import FileScan
from ..files.prep3 import scan_prep3
from ..files.schema import COMPONENT_BYTES, NAME_BYTES


class ScannedFile(NamedTuple):
    """What a worker found in one prep3 file; `scan` is None if it cannot be used at all."""

    path: str
    digest: str
    scan: FileScan | None
    faults: list[Fault]


def scan_here(paths: Sequence[str]) -> list[ScannedFile]:
    """Scan prep3 files in this process."""
    return [scan_file(path) for path in paths]


def scan_file(path: str) -> ScannedFile:
    """Scan one prep3 file; runs on any rank, never raises for bad input."""
    try:
        scan, faults = scan_prep3(path)
    except (InputError, OSError) as error:
        return ScannedFile(path, "", None, [Fault(str(error), path)])
    if too_long := _too_long(scan):
        return ScannedFile(path, scan.digest, None, [Fault(too_long, path)])
    return ScannedFile(path, scan.digest, scan, faults)


def _too_long(scan: FileScan) -> str:
    """Names have fixed widths in the results; cutting them would confuse sources."""
    for bundle, content in scan.bundles.items():
        target = f"{scan.stack}/{scan.obsid}/{bundle}"
        if len(target.encode()) > NAME_BYTES:
            return f"{scan.path}: the name {target} is longer than {NAME_BYTES} bytes; shorten it"
        for c in content.components:
            if len(f"{scan.stack}/{c}".encode()) > NAME_BYTES or len(c.encode()) > COMPONENT_BYTES:
                return (
                    f"{scan.path}: component {c} is longer than {COMPONENT_BYTES} bytes; shorten it"
                )
    return ""
