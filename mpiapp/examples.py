"""What `--help` of each command shows as examples; a test calls the parser with every line."""

HEADING = "examples:"
# What `import` and `measure` call the columns of a table; a test holds it against their code.
COLUMNS = (
    "names that --map and --set know:",
    "cnts cnts_bkg psf_frac psf_frac_bkg area area_bkg",
    "exposure_rate exposure_photflux exposure_flux, for rate, photflux and flux; each also _bkg",
    "photon_energy_kev, which makes flux of exposure_photflux; exposure_s",
    "obsid stack component bundle instrument band aperture",
)
EXAMPLES = {
    "init": (
        "mpiapp init catalog                     # writes job.toml for catalog/*prep3.fits",
        "mpiapp init catalog exact.toml --engine exact",
        "mpiapp init --from products field.toml  # which files to extract",
    ),
    "run": (
        "mpiexec -n 8 mpiapp run job.toml        # one rank leads, seven measure",
        "mpiapp run job.toml --resume            # go on where it was stopped",
        "mpiapp run prep3/job.toml --export sources.vot",
    ),
    "merge": ("mpiapp merge results.h5 results.shard1of2.h5 results.shard2of2.h5",),
    "jobscript": (
        "mpiapp jobscript slurm job.toml --nodes 4 --walltime 02:00:00 > job.slurm",
        "mpiapp jobscript slurm job.toml --kind array --shards 20 > array.slurm",
    ),
    "plan": (
        "mpiapp plan job.toml --workers 63",
        "mpiapp plan job.toml --timings results.h5  # from what earlier runs took",
    ),
    "import": (
        "mpiapp import counts.csv prep3",
        "mpiapp import field_broad.flux prep3 --set photon_energy_kev=1.7",
        "mpiapp import mine.fits prep3 --map cnts=TOTAL --set band=b --set aperture=aper",
    ),
    "extract": (
        "mpiapp extract products prep3           # files of the catalog, by their names",
        "mpiapp extract field.toml prep3 --masters 2",
    ),
    "measure": (
        "mpiapp measure counts.csv fluxes.vot --set photon_energy_kev=1.7",
        "mpiapp measure mine.fits photometry.fits --quantities flux,cnts --processes 0",
    ),
    "simulate": ("mpiapp simulate mock --detections 200 --preset crowded --seed 3",),
    "show": (
        "mpiapp show results.h5                  # what happened",
        "mpiapp show results.h5 --outcome null --level master",
        "mpiapp show results.h5 --flag unconverged --out unconverged.fits",
    ),
    "export": (
        "mpiapp export results.h5 sources.vot",
        "mpiapp export results.h5 detections.fits --level obsid --with mode,mean,rms",
    ),
    "blocks": ("mpiapp blocks results.h5 mst3.fits blocks.fits",),
    "check": (
        "mpiapp check results.h5                 # repeat 100 runs",
        "mpiapp check results.h5 --all --inputs /data/csc",
    ),
    "compare": (
        "mpiapp compare new.h5 old.h5 --by quantity --figures figures",
        "mpiapp compare results.h5 published.ecsv --out table3.tex",
        "mpiapp compare mock/results.h5 mock     # with the truth of a simulated catalog",
    ),
    "plot": (
        'mpiapp plot results.h5 --run "stack S1/b0001 b aper flux" --out run.png',
        "mpiapp plot results.h5 --run 9694569529406034141 --draws run.nc",
        "mpiapp plot products --field r0115 --bands b,s --out r0115.png",
    ),
    "verify": (
        "mpiapp verify --catalog config/example/csc20_rows.csv.gz",
        "mpiapp verify check --engines gibbs,exact --size 12",
    ),
    "report": ("mpiapp report results.h5 report.html",),
    "timing": (
        "mpiapp timing results.h5",
        "mpiapp timing ranks8.h5 ranks16.h5 ranks32.h5 --plot figures",
    ),
}
