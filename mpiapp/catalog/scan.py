"""What prep3 files hold but for the numbers: each file, each obsid, and where they disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .fault import Fault
from .quantities import Matrix

# Paths of prep3 files, each with the digest of the bytes that were scanned.
Files = tuple[tuple[str, str], ...]


class BundleScan(NamedTuple):
    """Components of one bundle, and the matrices that there are for it."""

    components: tuple[str, ...]
    matrices: frozenset[Matrix]


@dataclass(frozen=True)
class FileScan:
    """What one prep3 file holds of an obsid; `exposure` in s, None if unknown.

    `digest` is that of the bytes that were scanned, which are those to be measured.
    Whether a matrix can be used is known only when it is read.
    """

    path: str
    stack: str
    obsid: str
    exposure: float | None
    bundles: dict[str, BundleScan]
    digest: str = ""
    instrument: str = ""

    @property
    def n_hdus(self) -> int:
        """Number of HDUs with something in them."""
        matrices = frozenset().union(*{b.matrices for b in self.bundles.values()})
        return 2 + len({matrix.quantity for matrix in matrices})


@dataclass(frozen=True)
class ObsidScan:
    """What all prep3 files of an obsid hold together.

    `files` are all of them; `files_of` a bundle those that hold a part of it.
    """

    stack: str
    obsid: str
    exposure: float | None
    bundles: dict[str, BundleScan]
    files: Files
    n_hdus: int
    _by_bundle: dict[str, Files] = field(default_factory=dict)

    def files_of(self, bundle: str) -> Files:
        """The files that hold a part of this bundle."""
        return self._by_bundle.get(bundle, self.files)


def obsid_scans(scans: Iterable[FileScan]) -> tuple[list[ObsidScan], list[Fault]]:
    """The obsids that files hold together, sorted, and what cannot be used of a second file.

    The files of an obsid complement each other: each holds other bundles, or other bands,
    apertures or quantities of a bundle.  A bundle of which an earlier file holds the same is not
    used, nor is a file that contradicts an earlier one; either is a fault with the file's path.
    """
    files: dict[tuple[str, str], list[FileScan]] = defaultdict(list)
    for scan in scans:
        files[scan.stack, scan.obsid].append(scan)
    found, faults = [], []
    for key in sorted(files):
        whole, problems = _together(files[key])
        found.append(whole)
        faults += problems
    return found, faults


def _together(scans: list[FileScan]) -> tuple[ObsidScan, list[Fault]]:
    first, *others = scans
    faults = []
    used, exposure = [first], first.exposure
    bundles = first.bundles if not others else dict(first.bundles)
    by_bundle: dict[str, Files] = {}
    if others:
        by_bundle = dict.fromkeys(bundles, ((first.path, first.digest),))
    for scan in others:
        problem = ""
        if scan.instrument != first.instrument:
            problem = f"instrument {scan.instrument}, but {first.instrument}"
        elif None not in (scan.exposure, exposure) and scan.exposure != exposure:
            problem = f"exposure {scan.exposure} s, but {exposure} s"
        if problem:
            message = f"{scan.path}: {problem} in {first.path}, of the same obsid; correct one"
            faults.append(Fault(message, path=scan.path, stack=scan.stack))
            continue
        exposure = scan.exposure if exposure is None else exposure
        refused = []
        for bundle, content in scan.bundles.items():
            known = bundles.get(bundle, BundleScan(content.components, frozenset()))
            if known.components != content.components or known.matrices & content.matrices:
                refused.append(bundle)
                continue
            bundles[bundle] = known._replace(matrices=known.matrices | content.matrices)
            by_bundle[bundle] = (*by_bundle.get(bundle, ()), (scan.path, scan.digest))
        if refused:
            message = (
                f"{scan.path}: stack {scan.stack}, obsid {scan.obsid}: {len(refused)} of "
                f"{len(scan.bundles)} bundles not used, {refused[0]} the first, which are also in "
                f"{by_bundle[refused[0]][0][0]}, with the same matrices or other components; keep "
                "one of the files"
            )
            faults.append(Fault(message, path=scan.path, stack=scan.stack))
        if len(refused) < len(scan.bundles):
            used.append(scan)
    paths = tuple((scan.path, scan.digest) for scan in used)
    n_hdus = sum(scan.n_hdus for scan in used)
    return ObsidScan(first.stack, first.obsid, exposure, bundles, paths, n_hdus, by_bundle), faults


def contradictions(scans: Iterable[ObsidScan]) -> list[Fault]:
    """Bundles in which the obsids of one stack disagree, which no file shows by itself.

    Bundles are made per stack, so a component must be in the bundle of the same
    name in every obsid that sees it: where it is not, each of the bundles is a
    fault.
    """
    bundles_of: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for scan in scans:
        for bundle, content in scan.bundles.items():
            for component in content.components:
                found = bundles_of[scan.stack, component]
                if bundle not in found:
                    found[bundle] = scan.files_of(bundle)[0][0]
    faults = []
    for (stack, component), paths in bundles_of.items():
        if len(paths) > 1:
            where = "; ".join(f"{bundle} in {path}" for bundle, path in paths.items())
            message = (
                f"stack {stack}: component {component} is in different bundles ({where}); bundles "
                "are made per stack, correct the files"
            )
            faults += [Fault(message, stack=stack, bundle=bundle) for bundle in paths]
    return faults
