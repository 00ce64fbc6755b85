"""Plans: what the inputs hold becomes work, and what cannot be named in the results is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.config import Config
from mpiapp.files.mst3 import write_mst3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.files.schema import COMPONENT_BYTES, NAME_BYTES
from mpiapp.parallel.planning import find_inputs, make_plan
from mpiapp.parallel.scanning import scan_here


@pytest.mark.parametrize(
    ("master", "component", "stack", "refused"),
    [
        ("m" * COMPONENT_BYTES, "r", "S", ""),
        ("m" * (COMPONENT_BYTES + 1), "r", "S", "master m"),
        ("m" * NAME_BYTES, "r", "S", "master m"),
        ("m", "r" * (COMPONENT_BYTES + 1), "S", "component r"),
        ("m", "r", "S" * NAME_BYTES, "the name SS"),
    ],
)
def test_a_name_that_results_cannot_hold_is_refused_at_every_level_and_never_cut(
    tmp_path, master, component, stack, refused
):
    bundle = Bundle(
        ObsidBundle(stack, "1", "b1"),
        "ACIS",
        (component,),
        {("b", "aper"): np.array([5, 30])},
        {("b", "aper", "cnts"): np.array([[0.9, 20.0], [0.05, 400.0]])},
    )
    write_prep3(tmp_path / "prep3.fits", stack, "1", "ACIS", [bundle], 1000.0)
    links = [(master, "u", stack, component), ("other", "a", stack, component)]
    write_mst3(tmp_path / "mst3.fits", links, [(master, 1, stack, "1", None)])
    files = {"prep3": str(tmp_path / "prep3.fits"), "mst3": str(tmp_path / "mst3.fits")}
    config = Config.model_validate({"input": [files], "output": {"results": "r.h5"}})
    plan = make_plan(config, find_inputs(config), scan_here)
    keys = [key for unit in plan.units for target in unit.targets() for key in target.run_keys()]
    told = [fault.message for fault in plan.faults]
    assert any(f"{refused}" in message and "longer than" in message for message in told) == bool(
        refused
    )
    assert all(len(key.target.encode()) <= NAME_BYTES for key in keys)
    assert any(key.level == "master" for key in keys) == (not refused)
    assert len({(key.level, key.target) for key in keys}) == len(keys)
