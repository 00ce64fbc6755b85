"""A long extraction: its rate beside that of reading the same bytes, its memory, and a resumption.

    python tests/benchmarks/bench_extract.py DIR [--detections N] [--source-bands N] [--ranks N]

Simulates files of N detections in DIR, where they are not there already, and extracts them as many
times under different names of stacks as make the source-bands.  Prints source-bands a second and
core beside the time in which astropy reads the files that they are made from, and the resident
memory of the ranks at each tenth of the job; then does the same job again, kills it in the middle,
has it go on, and compares all prep3 files.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from astropy.io import fits

from mpiapp.extract.find import find_field
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


def memory(job: subprocess.Popen) -> list[int]:
    """Resident MB of each rank."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            session = int((path / "stat").read_text().rpartition(")")[2].split()[3])
            words = (path / "cmdline").read_bytes().split(b"\0")
            if session == job.pid and words[1].endswith(b"job.py"):
                pages = int((path / "statm").read_text().split()[1])
                found.append(pages * 4096 >> 20)
        except (OSError, ValueError, IndexError):
            continue  # it has ended
    return sorted(found)


def n_done(out: Path) -> int:
    return len(list(out.glob("*prep3.fits")))


def watch(job: subprocess.Popen, out: Path, total: int, until: float = 1.0) -> None:
    """Print the memory at each tenth, until so much of the job is done or it ends."""
    tenth = 1
    begun = time.monotonic()
    while job.poll() is None and n_done(out) < until * total:
        if n_done(out) >= tenth * total / 10:
            seconds = time.monotonic() - begun
            print(f"  {tenth * 10:3d} %, {seconds:.0f} s: resident MB {memory(job)}", flush=True)
            tenth += 1
        time.sleep(0.5)


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
    outs = [args.folder / name for name in ("undisturbed", "resumed")]
    for out in outs:
        shutil.rmtree(out, ignore_errors=True)
    total = times * len(find_field(str(products)).observations)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    job = start(args.folder, outs[0], times, args.ranks)
    watch(job, outs[0], total, until=2.0)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{times * n} source-bands in {wall:.0f} s on {args.ranks} workers, "
        f"{times * n / wall / args.ranks:.0f} a second and worker; {cpu:.0f} s of processor time "
        f"of all ranks; exit code {job.returncode}",
        flush=True,
    )
    job = start(args.folder, outs[1], times, args.ranks)
    watch(job, outs[1], total, until=0.5)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    print(f"killed with {n_done(outs[1])} of {total} observations done", flush=True)
    job = start(args.folder, outs[1], times, args.ranks)
    job.wait()
    names = sorted(path.name for path in outs[0].glob("*prep3.fits"))
    equal = filecmp.cmpfiles(*outs, names, shallow=False)[0]
    same = names == sorted(path.name for path in outs[1].glob("*prep3.fits"))
    print(f"{len(equal)} of {len(names)} prep3 files are equal; the same names: {same}")
    sys.exit(0 if same and len(equal) == len(names) == total else 1)


if __name__ == "__main__":
    main()
