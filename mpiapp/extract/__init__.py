"""From an observation's files to prep3: events, regions, PSF images, exposure maps -> C and F."""
