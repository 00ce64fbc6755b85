"""What holds for all tests: under mpiexec each rank runs its share of them."""

from __future__ import annotations

from jobs import share


def pytest_collection_modifyitems(items):
    rank, size = share()
    items[:] = items[rank::size]
