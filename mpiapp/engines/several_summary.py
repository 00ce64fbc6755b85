"""Modes and bounds of problems with several sources, all of one shape at once.

As for one source (`one_source_summary`) each is solved in units of its own, and what is the
same problem as the one before is scaled.  What chance leaves in mode and bounds follows from
the repeats of a marginal, each taken as a small change of their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..posterior import Smoothing
from . import _compiled
from .canonical import ROOM, Found
from .one_source_summary import as_numbers
from .several import levels

MARGIN = 0.5  # of the accuracy, what the moments of the repeats may disagree by
_LIMIT = 1.5  # accuracies, beyond which the noise is too large
# The same lattices for every problem: what is the same data gets the same numbers.
SHIFTS = np.random.SeedSequence(20210401)


def summarise_several(
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    row_obsid: np.ndarray,
    upper: np.ndarray,
    n_sources: int,
    smoothing: Smoothing,
    accuracy: float,
    points: int = 0,
    wanted: Sequence[int] | None = None,
) -> Found:
    """The catalog's numbers of n problems with several sources; arguments as for one source.

    accuracy : standard deviation that chance may leave in mode and bounds, in half-widths
    wanted : the sources whose numbers are; all if it is not given

    The status is SOLVED; LIMITED where under the catalog's own smoothing more noise is left than
    was asked for; UNRESOLVED, IMPOSSIBLE, or UNSEEN if no aperture sees one of the sources, of
    which nothing is found.  Numbers of sources that are not wanted are NaN.
    """
    sources = np.array(range(n_sources) if wanted is None else wanted, dtype=np.int64)
    return Found(
        *_compiled.summarise_several(
            batch=(counts, F, offset, row_obsid, upper, n_sources),
            room=ROOM,
            wanted=sources,
            levels=levels(n_sources, SHIFTS),
            accuracy=(accuracy, MARGIN, _LIMIT),
            smoothing=as_numbers(smoothing),
            usual=as_numbers(Smoothing()),
            at=np.linspace(-1.0, 1.0, points),
        )
    )
