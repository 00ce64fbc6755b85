"""`python -m mpiapp`, the form to start under mpiexec or srun."""

import sys

from .cli import main

sys.exit(main())
