"""The ten samples of the memo's Table 2, simulated, and what its Table 3 says of them."""

from __future__ import annotations

from dataclasses import dataclass

from ..simulate import PRESETS
from ..simulate.sky import Preset


@dataclass(frozen=True)
class Sample:
    """One row of Table 2.

    Attributes
    ----------
    level : str
    memo_size : int
        Detections or master sources that the memo had (largest N_total of Table 3).
    memo : tuple of (quantity, bands, N_success, N_total, mean, median, f_99, % f <= 1)
        The rows of Table 3; None where the memo gives no f.
    is_null_like : bool
        Whether CSC 2.0 has no values here, so that f means nothing (section 3.2).
    """

    title: str
    level: str
    memo_size: int
    preset: Preset
    memo: tuple[tuple, ...]
    is_null_like: bool = False

    @property
    def detections_per_run(self) -> int:
        """Detections that one target needs: five obsids make a master source."""
        return self.preset.stacks[0] * self.preset.obsids[0]


SAMPLES = {
    "sample1": Sample(
        "obsid-level detections with NULL u-band energy flux", "obsid", 867,
        PRESETS["sample1"],
        (("flux", "u", 866, 867, None, None, None, None),), True,
    ),
    "sample2": Sample(
        "obsid-level detections with NULL energy flux in h, m or s", "obsid", 2367,
        PRESETS["sample2"],
        (
            ("flux", "h", 830, 846, None, None, None, None),
            ("flux", "m", 1425, 1522, None, None, None, None),
            ("flux", "s", 2296, 2367, None, None, None, None),
        ), True,
    ),
    "sample3": Sample(
        "obsid-level detections with values", "obsid", 912,
        PRESETS["sample3"],
        (("flux", "bhmsu", 822, 912, 0.1, 0.1, 0.3, 99.6),),
    ),
    "sample4": Sample(
        "obsid-level s-band upper limits", "obsid", 833,
        PRESETS["sample4"],
        (("flux", "s", 825, 833, 0.5, 0.5, 1.4, 92.1),),
    ),
    "sample5": Sample(
        "HRC obsid-level detections", "obsid", 431,
        PRESETS["sample5"],
        (
            ("flux", "w", 427, 431, 16.0, 0.6, 1.4, 86.7),
            ("photflux", "w", 431, 431, 1.0, 0.6, 1.6, 88.6),
        ),
    ),
    "sample6": Sample(
        "stack-level detections with values", "stack", 981,
        PRESETS["sample6"],
        (
            ("photflux", "bhmsu", 956, 981, 0.8, 0.1, 6.0, 98.4),
            ("rate", "bhmsu", 956, 981, 0.4, 0.1, 1.0, 98.8),
            ("cnts", "bhmsu", 956, 981, 6.0, 0.1, 47.8, 96.9),
        ),
    ),
    "sample7": Sample(
        "stack-level detections with values, many", "stack", 5000,
        PRESETS["sample7"],
        (("flux", "bhmsu", 4700, 5000, 143.0, 0.1, 1.2, 99.0),),
    ),
    "sample8": Sample(
        "master averages in the b band, five obsids of several stacks", "master", 798,
        PRESETS["sample8"],
        (("photflux", "b", 797, 798, 0.1, 0.1, 0.4, 98.1),),
    ),
    "sample9": Sample(
        "master averages in the s band, five obsids of several stacks", "master", 3193,
        PRESETS["sample9"],
        (("photflux", "s", 3191, 3193, 0.2, 0.1, 1.1, 94.0),),
    ),
    "sample10": Sample(
        "master averages in the u band, five obsids of several stacks", "master", 1096,
        PRESETS["sample10"],
        (("photflux", "u", 1095, 1096, 0.4, 0.2, 2.0, 81.4),),
    ),
}  # fmt: skip
