"""The columns of tables of counts: the names of this project, and what each holds."""

from __future__ import annotations

from ..catalog.quantities import MODEL_FLUXES, TABLE_1

NAMES = {
    "obsid": "name of the observation",
    "stack": "name of the stack that the observation belongs to",
    "component": "name of the source in its stack",
    "instrument": "ACIS, HRC or another: decides bands and priors",
    "band": "energy band: b h m s u, w for HRC, or a name of your own",
    "aperture": "aper or aper90",
}
NUMBERS = {
    "cnts": "raw counts in the source aperture (srcflux: COUNTS; CSC: cnts_aper_b)",
    "cnts_bkg": "raw counts in the background aperture (BG_COUNTS; cnts_aperbkg_b)",
    "psf_frac": "fraction of the PSF in the source aperture (PSFFRAC; psf_frac_aper_b)",
    "psf_frac_bkg": "fraction of the PSF in the background aperture (BG_PSFFRAC; "
    "psf_frac_aperbkg_b)",
    "area": "area of the source aperture in pixels (AREA; area_aper)",
    "area_bkg": "area of the background aperture in pixels (BG_AREA; area_aperbkg)",
}
# What a background aperture says, and what is said instead where the background is known.
MEASURED = ("cnts_bkg", "psf_frac_bkg", "area", "area_bkg")
KNOWN = {
    "bkg": "counts to be expected from a known background in the source aperture, instead of "
    "cnts_bkg, psf_frac_bkg, area and area_bkg (eROSITA: APE_BKG_1)",
    "bkg_err": "their standard deviation",
}
REQUIRED = NAMES | NUMBERS
EXPOSURES = {
    "exposure_rate": "the exposure in s",
    "exposure_photflux": "the mean exposure map in count / (photon s-1 cm-2)",
    "exposure_flux": "the mean exposure map in count / (erg s-1 cm-2), or exposure_photflux and "
    "photon_energy_kev",
    "photon_energy_kev": "the mean energy of a photon",
} | {q.conversion: "the flux for a net count rate of 1 / s" for q in MODEL_FLUXES.values()}
# Gamma priors: of the source, and with the suffix _bkg of the background per pixel.
PRIORS = {
    f"prior_{kind}_{q.name}{end}": unit
    for q in TABLE_1.values()
    for end, unit_of_theta in (("", q.unit), ("_bkg", f"{q.unit} pix-1"))
    for kind, unit in (
        ("mean", unit_of_theta),
        ("rms", unit_of_theta),
        ("alpha", ""),
        ("beta", f"({unit_of_theta})-1"),
    )
}
OPTIONAL = (
    "exposure_s",
    "mjd",
    "photon_energy_kev",
    *KNOWN,
    *PRIORS,
    *(
        name
        for q in TABLE_1.values()
        if q.exposure_column
        for name in (q.exposure_column, f"{q.exposure_column}_bkg")
    ),
    *(q.conversion for q in MODEL_FLUXES.values()),
)
OWN = (*REQUIRED, *OPTIONAL, "bundle")
