"""Plans: what the inputs hold becomes work."""

from __future__ import annotations

import numpy as np

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.names import LONGEST_NAME, LONGEST_TARGET
from mpiapp.config import Config
from mpiapp.files.mst3 import write_mst3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.files.schema import NAME_BYTES
from mpiapp.parallel.planning import find_inputs, make_plan
from mpiapp.parallel.scanning import scan_here


def test_the_longest_names_are_measured_at_every_level_and_never_cut(tmp_path):
    stack, component, master = "S" * LONGEST_NAME, "r" * LONGEST_NAME, "m" * LONGEST_NAME
    obsid, bundle_name = "1" * 40, "b" * 6
    bundle = Bundle(
        ObsidBundle(stack, obsid, bundle_name),
        "ACIS",
        (component,),
        {("b", "aper"): np.array([5, 30])},
        {("b", "aper", "cnts"): np.array([[0.9, 20.0], [0.05, 400.0]])},
    )
    write_prep3(tmp_path / "prep3.fits", stack, obsid, "ACIS", [bundle], 1000.0)
    links = [(master, "u", stack, component), ("other", "a", stack, component)]
    write_mst3(tmp_path / "mst3.fits", links, [(master, 123456789, stack, obsid, None)])
    files = {"prep3": str(tmp_path / "prep3.fits"), "mst3": str(tmp_path / "mst3.fits")}
    config = Config.model_validate({"input": [files], "output": {"results": "r.h5"}})
    plan = make_plan(config, find_inputs(config), scan_here)
    keys = [key for unit in plan.units for target in unit.targets() for key in target.run_keys()]
    assert {key.level for key in keys} == {"obsid", "stack", "master"}
    assert max(len(key.target) for key in keys) == LONGEST_TARGET == NAME_BYTES
    assert len({(key.level, key.target) for key in keys}) == len(keys)
