"""How units are shared out among workers, and among the parts of a job."""

from collections import Counter

import numpy as np

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.parallel.shares import Shard, parcels

MATRICES = frozenset({Matrix("b", "aper", "rate"), Matrix("b", "aper", "cnts")})


def scan(stack, obsid, bundles):
    bundles = {name: BundleScan(tuple(c), MATRICES) for name, c in bundles.items()}
    return FileScan(f"{stack}_{obsid}.fits", stack, obsid, 1000.0, bundles)


def test_parcels_hold_every_unit_once_keep_stacks_together_and_shrink():
    sources = {f"x{i}": [f"a{i}"] for i in range(40)}
    small = [f"T{i}" for i in range(200)]
    scans = [scan("S", str(k), sources) for k in range(6)]
    scans += [scan(name, str(k), {"x": "a", "y": "b"}) for name in small for k in range(2)]
    every = WorkList(scans, Selection(), unit_cost=3.0).units
    found = list(parcels(every, 2))
    units = [unit for parcel in found for unit in parcel]
    assert len(units) == len(every) == len({id(unit) for unit in units + every})
    stacks = [{unit.stack for unit in parcel} for parcel in found]
    assert stacks[0] == {"S"}  # the most work
    n_parcels = Counter(stack for names in stacks for stack in names)
    assert all(n_parcels[name] == 1 for name in small)
    left = total = sum(unit.cost for unit in units)
    for parcel in found:
        cost = sum(unit.cost for unit in parcel)
        assert cost <= max(left / 16, total / 200)
        left -= cost
    first, last = (sum(unit.cost for unit in found[i]) for i in (0, -1))
    assert first > total / 32 > 3 * last
    # An eighth of what is left until a hundredth of all is reached, then a hundredth each; most
    # are more than half full.
    assert len(found) < 2 * 2 * (8 * np.log(0.125 / 0.01) + 0.01 / 0.125 * 100)
    assert all(len(parcel) == 1 for parcel in parcels(every, float("inf")))


def test_every_unit_is_in_one_shard_with_what_shares_its_files():
    sources = {f"x{i}": [f"a{i}"] for i in range(40)}
    scans = [scan(f"T{i}", str(k), sources) for i in range(30) for k in range(2)]
    units = WorkList(scans, Selection(), unit_cost=3.0).units
    shares = [Shard(k, 4).of(units) for k in (1, 2, 3, 4)]
    assert sorted(id(unit) for share in shares for unit in share) == sorted(map(id, units))
    groups = [{(unit.level, unit.group) for unit in share} for share in shares]
    assert sum(map(len, groups)) == len(set().union(*groups))
    costs = [sum(unit.cost for unit in share) for share in shares]
    assert max(costs) < 1.05 * min(costs)
