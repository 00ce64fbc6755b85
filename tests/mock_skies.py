"""What mock skies of several tests and benchmarks have in common."""

from dataclasses import replace

from mpiapp.simulate import PRESETS

# ACIS, two bands, sources that do not vary.
STEADY = replace(PRESETS["crowded"], bands="bs", exposure=60e3, hrc=0.0, variable=0.0)
# Half of a Gaussian's 68 % interval, widened by the smoothing, in standard deviations.
WIDE = 1.0917
