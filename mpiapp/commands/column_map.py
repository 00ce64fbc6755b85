"""Arguments of both `import` and `measure`: a table of counts, and the names of its columns."""

from __future__ import annotations

from argparse import ArgumentParser

TABLE = "table of counts: text, FITS, VOTable, ECSV, Parquet or JSON lines, also .gz"
# For the end of the help; a test holds the names against the code.
COLUMNS = """\
names that --map and --set know:
  cnts cnts_bkg psf_frac psf_frac_bkg area area_bkg
  bkg bkg_err, counts of a known background, instead of cnts_bkg psf_frac_bkg area area_bkg
  exposure_rate exposure_photflux exposure_flux, for rate, photflux and flux; each also _bkg
  photon_energy_kev, which makes flux of exposure_photflux; exposure_s mjd
  conversion_powlaw conversion_bb conversion_brems conversion_apec, for model fluxes
  conversion_powlaw_unabs conversion_bb_unabs conversion_brems_unabs conversion_apec_unabs
  prior_mean_rate prior_rms_rate, or prior_alpha_rate prior_beta_rate, for a Gamma prior; likewise
  of cnts, photflux and flux; each also _bkg
  obsid stack component bundle instrument band aperture

"""


def add_mapping(p: ArgumentParser) -> None:
    """Where a table of counts has its columns."""
    p.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="which column of TABLE is NAME, for example cnts=COUNTS, cnts={band}_CTS where a row "
        "has several bands, or psf_frac=1/CORRECTION; may be repeated",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what NAME is in every row, for example band=b; may be repeated",
    )
    p.add_argument("--mapping", metavar="FILE", help="TOML file with [columns] and [values]")
