"""What holds for all tests."""

from __future__ import annotations

from jobs import share


def pytest_collection_modifyitems(items):
    """Under mpiexec each rank runs its share of the tests."""
    rank, size = share()
    items[:] = items[rank::size]
