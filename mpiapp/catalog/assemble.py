"""From the bundles of contributing obsids to one problem (memo, section 2.2).

Columns are matched by label, never by position: a column per distinct source,
then one background column per obsid; a row per aperture that is present.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .bundle import Bundle
from .fault import InputError
from .problem import Problem
from .quantities import QUANTITIES, Matrix


def merge_labels(sequences: Sequence[Sequence[str]]) -> list[str]:
    """All distinct labels, keeping each sequence's order as far as the sequences agree."""
    merged: list[str] = []
    for labels in sequences:
        at = 0
        for label in labels:
            if label in merged:
                at = max(at, merged.index(label) + 1)
            else:
                merged.insert(at, label)
                at += 1
    return merged


def assemble(
    bundles: Sequence[Bundle],
    matrix: Matrix,
    label: Callable[[str, str], str] | None = None,
) -> Problem:
    """Stack the C and F of several obsids into C^a and F^a (Eqs. 2, 3, 5, 6 and 7).

    Parameters
    ----------
    bundles : sequence of Bundle
        One per contributing obsid, or several where an obsid's sources fall in
        more than one bundle of a master source's field; the rows follow this order.
    matrix : Matrix
        Which of each bundle's matrices.
    label : callable (stack, component) -> str, optional
        Name of the source column of a component: at master level the master
        source (Eqs. 5 and 6).  By default the component itself.

    Raises
    ------
    InputError
        If a bundle lacks the matrix, or two components of one bundle share a label.
    """
    if not bundles:
        raise InputError("no obsid contributes to this problem")
    names = [
        tuple(b.components if label is None else (label(b.key.stack, c) for c in b.components))
        for b in bundles
    ]
    for bundle, columns in zip(bundles, names):
        if len(set(columns)) < len(columns):
            twice = next(c for c in columns if columns.count(c) > 1)
            raise InputError(
                f"{bundle.key}: two components of the bundle belong to the same source {twice}; "
                "correct the association (mst3) or the component names (prep3)"
            )
    sources = names[0] if len(bundles) == 1 else tuple(merge_labels(names))
    column_of = {name: i for i, name in enumerate(sources)}
    n_sources = len(sources)
    sizes = [len(columns) + 1 for columns in names]
    F = np.zeros((sum(sizes), n_sources + len(bundles)))
    counts = np.empty(len(F), dtype=np.int64)
    upper = np.empty(F.shape[1])
    band, aperture, quantity = matrix
    q = QUANTITIES[quantity]
    row = 0
    for k, (bundle, columns, size) in enumerate(zip(bundles, names, sizes)):
        try:
            block = bundle.F[matrix]
            counts[row : row + size] = bundle.counts[band, aperture]
        except KeyError:
            raise InputError(
                f"{bundle.key}: no {quantity} matrix or counts for band {band}, {aperture}"
            ) from None
        where = [column_of[c] for c in columns]
        where.append(n_sources + k)
        F[row : row + size, where] = block  # Eq. 3
        upper[:n_sources], upper[n_sources + k] = q.prior_upper(bundle.instrument)
        row += size
    return Problem(
        counts=counts,
        F=F,
        upper=upper,
        sources=sources,
        backgrounds=tuple(str(b.key) for b in bundles),
        row_obsid=np.repeat(np.arange(len(bundles)), sizes),
        offset=np.zeros(len(F)),
    )
