"""Bytes of files as disks and transfers damage them."""

from __future__ import annotations

import numpy as np


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, cut off, repeated or zeroed, mostly in headers."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        kind, at = rng.integers(5), int(rng.integers(len(content)))
        if rng.random() < 0.6:
            at = int(rng.integers(min(len(content), 12_000)))
        if kind == 0:
            content[at] = int(rng.integers(256))
        elif kind == 1:
            content[at : at + 80] = rng.bytes(80)
        elif kind == 2 and len(content) > 10:
            del content[max(at, 5) :]
        elif kind == 3:
            content[at : at + 30] = b"%30d" % rng.integers(-(10**12), 10**12)
        else:
            content[at:at] = content[at : at + 2880]
    return bytes(content)
