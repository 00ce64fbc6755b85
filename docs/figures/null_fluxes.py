"""Draws null_fluxes.png and prints the figures of docs/verification.md about NULL fluxes.

python docs/figures/null_fluxes.py FOLDER      with null_h.csv.gz, null_m.csv.gz, null_s.csv.gz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from mpiapp.report.figures import BLUE, GREY, ORANGE, legend, name_panel, panels, save

NAMES = ("ml_flux", "ml_flux_sigma", "mode", "lolim", "hilim")


def main(folder: Path) -> None:
    tables = [Table.read(folder / f"null_{band}.csv.gz", format="ascii.csv") for band in "hms"]
    table = vstack([t[NAMES] for t in tables], metadata_conflicts="silent")
    ml, sigma, mode, lolim, hilim = (np.asarray(table[name], float) for name in NAMES)
    zero = ml == 0
    print(f"{len(ml)} fluxes, {zero.sum()} with ml_flux 0")
    for name, mine in (("ml_flux 0", zero), ("ml_flux > 0", ~zero)):
        ratio = np.percentile(hilim[mine] / (ml + 5 * sigma)[mine], (16, 50, 84))
        print(name, "hilim / end of the 5-sigma prior:", ratio.round(2))
        print("    ended below hilim:", f"{np.mean((ml + 5 * sigma < hilim)[mine]):.1%}")
        print("    hilim / mode:", np.percentile((hilim / mode)[mine], (16, 50, 84)).round(2))
    for low, high in ((10, np.inf), (5, 10), (3, 5), (2, 3)):
        mine = (ml > low * sigma) & (ml <= high * sigma)
        half = 0.5 * (hilim - lolim)[mine] / sigma[mine]
        print(f"{low} to {high} sigma: {mine.sum()}, half-width / sigma", np.median(half).round(3))
    figure, axes = panels(2)
    bins = np.geomspace(1e-19, 1e-11, 49)
    a, b = axes[0]
    a.hist(hilim[zero], bins, color=ORANGE, alpha=0.6, label=r"$s_{ML} = 0$")
    a.hist(hilim[~zero], bins, histtype="step", color=BLUE, lw=1.5, label=r"$s_{ML} > 0$")
    a.set(xscale="log", xlabel="upper bound (erg s$^{-1}$ cm$^{-2}$)", ylabel="NULL fluxes")
    name_panel(a, "(a) unrestricted priors")
    legend(a, "upper right")
    b.hist(
        (5 * sigma)[zero], bins, color=ORANGE, alpha=0.6, label=r"$5\,\sigma_{ML}$, $s_{ML} = 0$"
    )
    b.hist(
        (ml + 5 * sigma)[~zero], bins, histtype="step", color=BLUE, lw=1.5,
        label=r"$s_{ML} + 5\,\sigma_{ML}$, $s_{ML} > 0$",
    )  # fmt: skip
    b.hist(hilim[zero], bins, histtype="step", color=GREY, lw=1, label="upper bounds of the former")
    b.set(
        xscale="log", xlabel="end of the 5-σ prior (erg s$^{-1}$ cm$^{-2}$)", ylabel="NULL fluxes"
    )
    b.set_ylim(top=1.5 * b.get_ylim()[1])  # room for the legend
    name_panel(b, "(b) priors of CSC 2.0")
    legend(b, "upper right")
    print(save(figure, Path(__file__).parent / "null_fluxes.png"))


main(Path(sys.argv[1]))
