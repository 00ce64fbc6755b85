"""Skies like the ten samples of the memo's Table 2, as presets.

The memo chose its samples from CSC 2.0 by what that catalog says of them.  Here
sources and backgrounds are drawn in the regime where it says that: NULL where
apertures are nearly empty, upper limits where the background is as bright as the
source, values where the source is clear of it.
"""

from __future__ import annotations

from .sky import Preset


def _preset(number: int, **settings) -> Preset:
    shared = {"apertures": ("aper",), "prefix": f"s{number:02d}.", "hrc": 0.0, "crowded": 0.1}
    return Preset(**{**shared, **settings})


def _obsid(number: int, **settings) -> Preset:
    return _preset(number, stacks=(1, 1), obsids=(1, 1), detection=0.0, **settings)


def _master(number: int, **settings) -> Preset:
    """Five obsids, each a stack of its own, and no neighbours."""
    return _preset(
        number, stacks=(5, 5), obsids=(1, 1), crowded=0.0, sources=(20, 40), scatter=60.0,
        exposure_scatter=0.05, blocks=False, variable=0.0, quantities=("photflux",), **settings,
    )  # fmt: skip


_FLUX = ("flux",)

SAMPLE_SKIES = {
    "sample1": _obsid(1, bands="u", quantities=_FLUX, net_counts=(0, 5), background_counts=(0, 50)),
    "sample2": _obsid(
        2, bands="hms", quantities=_FLUX, net_counts=(0, 2), background_counts=(0, 10)
    ),
    "sample3": _obsid(
        3, bands="bhmsu", quantities=_FLUX, net_counts=(20, 500), background_counts=(20, 500)
    ),
    "sample4": _obsid(
        4, bands="s", quantities=_FLUX, net_counts=(0, 3), background_counts=(100, 500)
    ),
    "sample5": _obsid(
        5,
        bands="w",
        quantities=("flux", "photflux"),
        hrc=1.0,
        net_counts=(10, 300),
        background_counts=(100, 2000),
    ),
    "sample6": _preset(
        6,
        stacks=(1, 1),
        obsids=(2, 6),
        bands="bhmsu",
        quantities=("photflux", "rate", "cnts"),
        detection=20.0,
    ),
    "sample7": _preset(
        7, stacks=(1, 1), obsids=(2, 6), bands="bhmsu", quantities=_FLUX, detection=20.0
    ),
    "sample8": _master(8, bands="b", detection=10.0),
    "sample9": _master(9, bands="s", detection=6.0),
    "sample10": _master(10, bands="u", detection=6.0),
}
