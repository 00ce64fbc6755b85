"""What holds for all tests."""

from __future__ import annotations

import os


def pytest_collection_modifyitems(items):
    """Under mpiexec each rank runs its share of the tests.

    The ranks learn of each other from the launcher (MPICH, Open MPI, PMIx): no test
    talks to another rank, those that need ranks start them.
    """
    env = os.environ
    rank = int(env.get("PMI_RANK") or env.get("OMPI_COMM_WORLD_RANK") or 0)
    size = int(env.get("PMI_SIZE") or env.get("OMPI_COMM_WORLD_SIZE") or 1)
    items[:] = items[rank::size]
