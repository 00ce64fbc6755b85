"""What a prep3 file holds, without its numbers, and where the files of a stack disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .fault import Fault
from .quantities import Matrix


class BundleScan(NamedTuple):
    """Components of one bundle of a file, and the matrices that the file has for it."""

    components: tuple[str, ...]
    matrices: frozenset[Matrix]


@dataclass(frozen=True)
class FileScan:
    """What the work list has to know of one prep3 file; `exposure` in s, None if unknown.

    `digest` is that of the bytes that were scanned, which are those to be measured.
    Whether a matrix can be used is known only when it is read.
    """

    path: str
    stack: str
    obsid: str
    exposure: float | None
    bundles: dict[str, BundleScan]
    digest: str = ""

    @property
    def n_hdus(self) -> int:
        """Number of HDUs with something in them."""
        return 2 + len(frozenset().union(*{b.matrices for b in self.bundles.values()}))


def contradictions(scans: Iterable[FileScan]) -> list[Fault]:
    """Where the obsids of one stack disagree, which no file shows by itself.

    A file whose obsid another file has already is a fault with its path.
    Bundles are made per stack, so a component must be in the bundle of the same
    name in every obsid that sees it: where it is not, each of the bundles is a
    fault.
    """
    bundles_of: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    path_of: dict[tuple[str, str], str] = {}
    faults = []
    for scan in scans:
        first = path_of.setdefault((scan.stack, scan.obsid), scan.path)
        if first != scan.path:
            message = (
                f"{scan.path}: stack {scan.stack}, obsid {scan.obsid} are also in {first}; keep "
                "one of the files"
            )
            faults.append(Fault(message, path=scan.path, stack=scan.stack))
            continue
        for bundle, content in scan.bundles.items():
            for component in content.components:
                bundles_of[scan.stack, component].setdefault(bundle, scan.path)
    for (stack, component), paths in bundles_of.items():
        if len(paths) > 1:
            where = "; ".join(f"{bundle} in {path}" for bundle, path in paths.items())
            message = (
                f"stack {stack}: component {component} is in different bundles ({where}); bundles "
                "are made per stack, correct the files"
            )
            faults += [Fault(message, stack=stack, bundle=bundle) for bundle in paths]
    return faults
