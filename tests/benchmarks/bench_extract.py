"""A long extraction: its rate beside that of reading the same bytes, its memory, and a resumption.

    python tests/benchmarks/bench_extract.py DIR [--detections N] [--source-bands N] [--ranks N]

Simulates files of N detections in DIR, where they are not there already, and extracts them once:
prints source-bands a second and core beside the time in which astropy reads the same files.  Then
extracts them as many times, under different names of stacks, as make the source-bands; kills that
job in the middle, has it go on, prints the resident memory of its ranks at each tenth, and holds
every prep3 file against that of the undisturbed first job.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from mpiapp.files.prep3 import read_prep3
from mpiapp.simulate import simulate

JOB = """\
import sys
from pathlib import Path
from dataclasses import replace
from mpiapp.extract.find import find_field
from mpiapp.parallel import extraction
from mpiapp.parallel.world import connect

products, out, times = sys.argv[1:]

def find():
    field = find_field(products)
    return replace(field, observations=tuple(
        replace(one, stack=f"{one.stack}x{k}") for k in range(int(times))
        for one in field.observations
    ))

def finish(done, field):
    print(extraction.summary(done, out))
    return 0

here = connect()
with here.guard():
    code = extraction.run(find, out, here, finish)
sys.exit(code)
"""


def read_all(products: Path) -> tuple[int, float]:
    """How many bytes the files have, and how long astropy takes to read their HDUs, in s."""
    paths = [path for path in products.rglob("*.fits*") if path.is_file()]
    begun = time.process_time()
    for path in paths:
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                _ = hdu.data
    return sum(path.stat().st_size for path in paths), time.process_time() - begun


def source_bands(products: Path) -> int:
    """How many PSF images of a source in a band there are."""
    return sum(1 for _ in products.rglob("*_psf3.fits*"))


def start(folder: Path, out: Path, times: int, ranks: int) -> subprocess.Popen:
    script = folder / "job.py"
    script.write_text(JOB)
    launcher = (
        [Path(sys.executable).with_name("mpiexec"), "-n", str(ranks + 1)] if ranks > 1 else []
    )
    command = [*launcher, sys.executable, script, folder / "mock" / "products", out, str(times)]
    return subprocess.Popen([str(word) for word in command], start_new_session=True)


def memory(out: Path) -> list[int]:
    """Resident MB of each rank of the job that writes into a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_text().split("\0")
            if words[1].endswith("job.py") and str(out) in words:
                found.append(int((path / "statm").read_text().split()[1]) * 4096 >> 20)
        except (OSError, ValueError, IndexError):
            continue  # it has ended
    return sorted(found)


def n_done(out: Path) -> int:
    return len(list(out.glob("*prep3.fits")))


def watch(job: subprocess.Popen, out: Path, total: int, until: float = 2.0) -> None:
    """Print the memory at each tenth, until so much of the job is done or it ends."""
    tenth = 10 * n_done(out) // total + 1
    begun = time.monotonic()
    while job.poll() is None and n_done(out) < until * total:
        if n_done(out) >= tenth * total / 10:
            seconds = time.monotonic() - begun
            print(f"  {tenth * 10:3d} %, {seconds:.0f} s: resident MB {memory(out)}", flush=True)
            tenth += 1
        time.sleep(0.5)


def is_same(path: Path, undisturbed: Path) -> bool:
    """Whether a prep3 file has the numbers of the undisturbed one, under its own stack's name."""
    one, other = (read_prep3(p).bundles.values() for p in (path, undisturbed))
    return len(one) == len(other) and all(
        a.components == b.components
        and a.F.keys() == b.F.keys()
        and all(np.array_equal(F, b.F[matrix]) for matrix, F in a.F.items())
        and all(np.array_equal(c, b.counts[key]) for key, c in a.counts.items())
        for a, b in zip(one, other)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detections", type=int, default=400)
    parser.add_argument("--source-bands", type=int, default=10_000)
    parser.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()
    products = args.folder / "mock" / "products"
    if not products.exists():
        args.folder.mkdir(parents=True, exist_ok=True)
        simulate(args.folder / "mock", args.detections, events=True)
    n = source_bands(products)
    times = -(-args.source_bands // n)
    size, seconds = read_all(products)
    print(
        f"{n} source-bands, {size / 1e6:.0f} MB; astropy reads them in {seconds:.1f} s", flush=True
    )
    once, long = (args.folder / name for name in ("undisturbed", "resumed"))
    for out in (once, long):
        shutil.rmtree(out, ignore_errors=True)
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    start(args.folder, once, 1, 1).wait()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime
    print(f"one process: {cpu:.1f} s of processor time, {n / cpu:.0f} a second", flush=True)
    total = times * n_done(once)
    job = start(args.folder, long, times, args.ranks)
    watch(job, long, total, until=0.5)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    print(f"killed with {n_done(long)} of {total} observations done", flush=True)
    job = start(args.folder, long, times, args.ranks)
    watch(job, long, total)
    paths = list(long.glob("*prep3.fits"))
    same = sum(
        is_same(path, once / re.sub(r"x\d+(?=_)", "x0", path.name, count=1)) for path in paths
    )
    print(f"exit code {job.returncode}; {same} of {total} prep3 files are as in the first job")
    sys.exit(0 if job.returncode == 0 and same == len(paths) == total else 1)


if __name__ == "__main__":
    main()
