"""How runs of faint detections end: the success table beside the memo's Table 3.

    python tests/benchmarks/bench_success.py [detections] [engine] [ranks] [quantity]

Simulates detections of 0-5 source and 0-50 background counts, ACIS and HRC, measures all their
bands and all or one of their quantities, and counts outcomes.  Beside them stand the memo's samples
1 and 2: obsid-level detections without energy fluxes in CSC 2.0.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from mpiapp.catalog.outcome import Flag, Outcome
from mpiapp.catalog.quantities import QUANTITIES
from mpiapp.files.results import open_results
from mpiapp.simulate import simulate

# Table 3, samples 1 and 2: band, N_success, N_total.
MEMO = {"u": (866, 867), "h": (830, 846), "m": (1425, 1522), "s": (2296, 2367)}


def main(
    detections: int = 10_000, engine: str = "gibbs", ranks: int = 0, quantity: str = ""
) -> None:
    with tempfile.TemporaryDirectory(prefix="mpiapp-success-") as name:
        folder = Path(name)
        made = simulate(folder, detections, 3, "faint")
        quantities = [quantity] if quantity else list(QUANTITIES)
        config = folder / "job.toml"
        config.write_text(
            f"[[input]]\nprep3 = '{made.prep3}'\nlevels = ['obsid']\n"
            f"[select]\napertures = ['aper']\nquantities = {quantities}\n"
            f"[output]\nresults = '{folder / 'results.h5'}'\n[engine]\nname = '{engine}'\n"
        )
        launcher = ["mpiexec", "-n", str(ranks)] if ranks else []
        code = subprocess.run([*launcher, sys.executable, "-m", "mpiapp", "run", config]).returncode
        with open_results(folder / "results.h5") as results:
            rows = results.table("photometry")
    outcomes, flags, success, total = Counter(), Counter(), Counter(), Counter()
    for row in rows:
        outcome = Outcome(row["outcome"])  # raises for an undocumented one
        outcomes[outcome.text] += 1
        for flag in Flag:
            if row["flags"] & flag:
                flags[flag.text] += 1
        key = row["quantity"].decode(), row["band"].decode()
        total[key] += 1
        success[key] += not outcome.is_null
    print(f"{made.detections} detections, {len(rows)} results, exit code {code}")
    print("quantity  band  N_success/N_total     %      memo (samples 1 and 2)")
    for key in sorted(total):
        memo = MEMO.get(key[1]) if key[0] == "flux" else None
        beside = f"{memo[0]}/{memo[1]}  {100 * memo[0] / memo[1]:.1f}" if memo else ""
        share = 100 * success[key] / total[key]
        print(f"{key[0]:9} {key[1]:4}  {success[key]}/{total[key]:<12} {share:6.2f}  {beside}")
    for title, counts in (("outcomes", outcomes), ("flags", flags)):
        listed = "; ".join(f"{k}: {n}" for k, n in counts.most_common())
        print(f"{title}: {listed or 'none'}")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, str, int, str), sys.argv[1:])))
