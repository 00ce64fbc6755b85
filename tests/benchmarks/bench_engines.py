"""Seconds per run and effective draws per second of every engine, on problems of every shape.

    export OMP_NUM_THREADS=1 PYTHONPATH=tests
    python tests/benchmarks/bench_engines.py [--quick] [--memo all] [--figure FILE]

All engines see the same problems in one run, so the ratios mean something even
where the seconds, of processor time, do not.  What cannot be imported is left
out with a note: pymc3 (the memo's recipe and our pymc3 engine) and sherpa's
get_draws.  The expensive ones run once a problem, and only on 1x1 and 2x5
unless --memo all.  Their ratio is to gibbs drawing on until its smallest effective
sample size is at least theirs.  At the end: the exponent with which the cost of the
compiled engine grows with the number of obsids, and the mean over the mix of a
whole catalog.  The figure has `exact` too, which draws nothing.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from problems import simulated

from mpiapp.catalog.problems import Problems
from mpiapp.engines import create
from mpiapp.parallel import compiledir
from mpiapp.posterior import Smoothing
from mpiapp.posterior.diagnostics import rhat_and_ess
from mpiapp.report.figures import BLACK, BLUE, GREEN, ORANGE, RED, panels, save

SHAPES = {
    "1x1": (1, 1, 0.0),
    "2x1 blended": (2, 1, 0.8),
    "1x5": (1, 5, 0.0),
    "2x5": (2, 5, 0.3),
    "5x5": (5, 5, 0.3),
    "3x20": (3, 20, 0.3),
    "1x100": (1, 100, 0.0),
}
LEVELS = {"faint": (3.0, 0.02), "bright": (1000.0, 0.5)}
EXPENSIVE = ("1x1", "2x5")
# Fractions of a catalog's runs, ranges of sources and of obsids.
MIX = (
    (0.70, (1, 1), (1, 1)),
    (0.20, (1, 2), (2, 5)),
    (0.09, (3, 5), (1, 5)),
    (0.01, (1, 3), (20, 20)),
)


def optional_engines():
    """{name: function of problem and seed that returns (chains, draws, columns)}, and notes."""
    found, notes = {}, []
    try:
        compiledir.claim(0, tempfile.mkdtemp(prefix="mpiapp-bench-"))
        import memo_recipe

        logging.getLogger("pymc3").setLevel(logging.ERROR)
        found["memo"] = memo_recipe.sample
    except ImportError as error:
        notes.append(f"without the memo's recipe ({error})")
    for name in ("pymc3", "get_draws"):
        try:
            found[name] = draws_of(create(name))
        except (ImportError, ValueError) as error:
            notes.append(f"without {name} ({error})")
    return found, notes


def draws_of(engine):
    """What `timed` wants of an engine."""
    return lambda problem, seed: engine.sample(problem, seed).values


def timed(function, problem, repeats, rounds):
    """Best of `rounds` mean seconds per run, and the median over runs of the smallest ESS."""
    best, sizes = np.inf, []
    for i in range(rounds):
        start = time.process_time()
        values = [function(problem, np.random.SeedSequence((i, n))) for n in range(repeats)]
        best = min(best, (time.process_time() - start) / repeats)
        sizes += [np.nanmin(rhat_and_ess(np.ascontiguousarray(v))[1]) for v in values]
    return best, float(np.median(sizes))


def exact_seconds(problem):
    """Best of five mean seconds of `exact`, which gives numbers without drawing."""
    engine, alone, best = create("exact"), Problems.of([problem]), np.inf
    for _ in range(5):
        start = time.process_time()
        for _ in range(10):
            engine.summarise(alone, Smoothing())
        best = min(best, (time.process_time() - start) / 10)
    return best


def matched(ess):
    """The compiled engine, drawing on until its smallest effective sample size is `ess`."""
    draws = int(np.ceil(1.1 * ess / 16))
    return draws_of(create("gibbs", draws=max(draws, 4), ess_target=max(ess, 1.0)))


def draw_figure(path, points):
    """Seconds per run against shape, a marker per engine; points: (shape, level, engine, s)."""
    figure, ((axes,),) = panels(1, height=3.2)
    shapes = list(SHAPES)
    markers = {
        "memo": ("s", RED, "the memo's recipe"),
        "pymc3": ("^", ORANGE, "pymc3"),
        "get_draws": ("D", GREEN, "get_draws"),
        "gibbs": ("o", BLUE, "gibbs"),
        "exact": ("v", BLACK, "exact"),
    }
    for engine, (marker, color, name) in markers.items():
        for level, fill, label in (("faint", "none", None), ("bright", color, name)):
            mine = [(shapes.index(s), t) for s, at, e, t in points if e == engine and at == level]
            if mine:
                x, y = np.transpose(mine)
                axes.plot(x, y, marker, ms=5, color=color, mfc=fill, label=label)
    axes.set(yscale="log", xlabel="sources × obsids", ylabel="processor time per run (s)")
    axes.set_xticks(range(len(shapes)), [shape.replace("x", " × ") for shape in shapes])
    title = "open: 3 counts a source, filled: 1000"
    figure.legend(
        loc="outside upper center", ncols=5, frameon=False, fontsize=7, title=title,
        title_fontsize=7,
    )  # fmt: skip
    save(figure, Path(path))


def exponent(function, n_sources):
    """Slope of log seconds against log obsids from 1 to 100, least squares."""
    rng = np.random.default_rng(2)
    obsids = np.array([1, 2, 5, 10, 20, 50, 100])
    seconds = [
        timed(function, simulated(n_sources, int(k), 20.0, 0.1, rng), max(3, 100 // k), 3)[0]
        for k in obsids
    ]
    return np.polyfit(np.log(obsids), np.log(seconds), 1)[0]


def mix(function, runs):
    """Mean seconds per run over the mix of a whole catalog, and what each part adds."""
    rng = np.random.default_rng(3)
    parts = []
    for fraction, sources, obsids in MIX:
        problems = [
            simulated(
                int(rng.integers(sources[0], sources[1] + 1)),
                int(rng.integers(obsids[0], obsids[1] + 1)),
                10.0 ** rng.uniform(-1, 3),
                10.0 ** rng.uniform(-2.5, 0),
                rng,
            )
            for _ in range(max(20, int(fraction * runs)))
        ]
        start = time.process_time()
        for n, problem in enumerate(problems):
            function(problem, np.random.SeedSequence(n))
        parts.append(fraction * (time.process_time() - start) / len(problems))
    return sum(parts), parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the compiled engine alone")
    parser.add_argument("--memo", choices=("some", "all"), default="some")
    parser.add_argument("--figure", help="draw the table into this file")
    args = parser.parse_args()
    points = []
    compiled = draws_of(create("gibbs"))
    others, notes = ({}, []) if args.quick else optional_engines()
    for note in notes:
        print(note)
    print(f"{'sources x obsids':24}{'gibbs ms':>10}{'min ESS':>9}{'ESS/s':>10}", end="")
    print("".join(f"{name + ' s':>13}{'min ESS':>9}{'ratio':>8}" for name in others))
    rng = np.random.default_rng(1)
    for shape, (n_sources, n_obsids, blend) in SHAPES.items():
        for level, (source, background) in LEVELS.items():
            problem = simulated(n_sources, n_obsids, source, background, rng, blend=blend)
            compiled(problem, np.random.SeedSequence(0))
            seconds, ess = timed(compiled, problem, max(2, 40 // n_obsids), 5)
            points.append((shape, level, "gibbs", seconds))
            points.append((shape, level, "exact", exact_seconds(problem)))
            line = f"{shape + ' ' + level:24}{1e3 * seconds:10.2f}{ess:9.0f}{ess / seconds:10.0f}"
            for name, function in others.items():
                if shape not in EXPENSIVE and args.memo != "all":
                    line += f"{'-':>13}{'-':>9}{'-':>8}"
                    continue
                try:
                    function(problem, np.random.SeedSequence(0))  # compiles where that is needed
                    slow, size = timed(function, problem, 1, 1)
                    equal, _ = timed(matched(size), problem, max(2, 40 // n_obsids), 5)
                    line += f"{slow:13.2f}{size:9.0f}{slow / equal:8.0f}"
                    points.append((shape, level, name, slow))
                except Exception as error:  # another engine's failure is a result here
                    line += f"  {type(error).__name__:>28}"
            print(line, flush=True)
    print("ratios are to gibbs at no smaller an effective sample size")
    if args.figure:
        draw_figure(args.figure, points)
    for n_sources in (1, 2):
        print(f"{n_sources} sources: cost grows as obsids ** {exponent(compiled, n_sources):.2f}")
    mean, parts = mix(compiled, 400)
    print(f"catalog mix: {1e3 * mean:.2f} ms per run, parts", *(f"{1e3 * x:.2f}" for x in parts))


if __name__ == "__main__":
    main()
