"""Where the random generators of lanes begin, which kernels advance side by side."""

from __future__ import annotations

import numpy as np


def lane_states(seed, n):
    """(4, n) generator states from a SeedSequence, one column a lane.

    Four words of the seed, each continued over the lanes as SplitMix64 does
    (Steele, Lea & Flood 2014), which is how xoshiro is meant to be seeded.
    """
    lane = np.arange(1, n + 1, dtype=np.uint64)
    z = seed.generate_state(4, np.uint64)[:, None] + lane * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
