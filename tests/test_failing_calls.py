"""A call to the system that fails ends a job in time, and costs nothing that cannot be resumed.

`python tests/failing_calls.py FOLDER` has every call fail in turn; here a sample.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import failing_calls
import pytest
from jobs import HANGING, environment

EVERY = 1 if "MPIAPP_SLOW" in os.environ else 16


def test_a_job_ends_whichever_call_fails_and_is_resumed_with_all_rows(tmp_path):
    if failing_calls.build(tmp_path) is None:
        pytest.skip("no C compiler")
    command = [sys.executable, failing_calls.__file__, str(tmp_path), str(EVERY)]
    command += ["open", "write", "fsync", "rename"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANGING, env=environment(), check=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [one["kind"] for one in found] == command[-4:]
    assert all(one["calls"] for one in found)
    assert [one["wrong"] for one in found] == [[]] * 4
