"""The k-th call of a kind fails in a small job, for k = 1, 2, 3 … until the job passes untouched.

    python tests/failing_calls.py FOLDER [EVERY [KIND …]]

Each job must end in time with a documented exit code, and with --resume, undisturbed, with all
rows, or have named the inputs that it could not open.  Prints a line of JSON for each kind, and of
`wrong` jobs k, the code, and that of the resumed job.
"""

from __future__ import annotations

import collections
import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SECONDS = 30
KINDS = {
    "open": errno.EMFILE,
    "write": errno.ENOSPC,
    "fsync": errno.EIO,
    "rename": errno.EACCES,
    "allocate": errno.ENOMEM,
}
# Smaller ones are too many to try them all, and mostly of Python itself.
LEAST_BYTES = 1 << 16


def build(folder: Path) -> Path | None:
    """The compiled shim, or None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return None
    shim = folder / "failing_calls.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    return shim


def main(folder: Path, every: int, kinds: list[str]) -> None:
    """Within a process that has the shim preloaded."""
    from jobs import photometry, table, write_job

    from mpiapp.cli import main as command
    from mpiapp.files.results import open_results

    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.arm.argtypes = (*[ctypes.c_char_p] * 2, ctypes.c_long, ctypes.c_int, ctypes.c_size_t)
    config = write_job(folder, text=table(2, 2))
    config.write_text(config.read_text().replace("[engine]", "batch_runs = 6\n[engine]"))
    final = folder / "results.h5"

    def job(kind: str = "", k: int = 0) -> int:
        """A job in a fork, call number k of a kind failing; its exit code, or 99 if it hangs."""
        child = os.fork()
        if child == 0:
            os.dup2(os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            shim.arm(kind.encode(), str(folder).encode(), k, KINDS.get(kind, 0), LEAST_BYTES)
            code = 1  # as Python ends after a traceback
            try:
                code = command(["run", str(config), "--resume"])
            finally:
                n_calls = shim.calls()
                shim.arm(b"", b"", 0, 0, 0)
                (folder / "calls").write_text(str(n_calls))
                os._exit(code)
        deadline = time.monotonic() + SECONDS
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return 99
            time.sleep(0.005)
        return os.waitstatus_to_exitcode(ended[1])

    assert command(["run", str(config)]) == 0  # here, so that forks need not import anything
    whole = photometry(final)

    def is_whole(code: int) -> bool:
        """Whether all rows are there, but those of an input that is named, and of its stack."""
        rows = photometry(final)
        if code != 4:
            return rows.tobytes() == whole.tobytes()
        with open_results(final) as results:
            failures = results.table("failures")
        done = rows[np.isfinite(rows["value"])]
        return len(failures) > 0 and np.isin(done["value"], whole["value"]).all()

    for kind in kinds:
        codes, wrong, k = collections.Counter(), [], 1
        while True:
            shutil.rmtree(folder / "results.h5.parts", ignore_errors=True)
            final.unlink(missing_ok=True)
            (folder / "said").unlink(missing_ok=True)
            (folder / "calls").write_text("-1")
            code = job(kind, k)
            if int((folder / "calls").read_text()) in range(k):
                break  # untouched: it made fewer calls than k
            codes[code] += 1
            # Out of memory, libraries written in C may end the process.
            documented = code in range(5) or (kind == "allocate" and code < 0)
            again = 0 if final.exists() else job()
            if not documented or again or not is_whole(code):
                wrong.append([k, code, again])
            k += every
        print(
            json.dumps({"kind": kind, "calls": k - 1, "codes": codes, "wrong": wrong}), flush=True
        )


if __name__ == "__main__":
    work, step = Path(sys.argv[1]), int((sys.argv[2:] or [1])[0])
    chosen = sys.argv[3:] or list(KINDS)
    if "LD_PRELOAD" in os.environ:
        main(work, step, chosen)
    else:
        work.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, LD_PRELOAD=str(build(work)))
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
