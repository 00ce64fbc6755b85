"""`mpiapp plot`: one run of a results file, drawn again from its seed, seen from all sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..catalog.bundle import InputError
from ..catalog.problem import Problem
from ..catalog.quantities import QUANTITIES
from ..catalog.runs import RunKey
from ..files.results import Results
from ..photometry.ladder import Run
from ..posterior import Summary
from ..sampling import Draws, SamplingError, create
from .figures import BLACK, BLUE, GREEN, GREY, ORANGE, legend, name_panel, panels, save, unit_of
from .rerun import find_key, rerun

# More parameters than this, or chains, are not legible on a page.
PARAMETERS_SHOWN = 6
CHAINS_SHOWN = 4


def plot_run(
    results: Results,
    key: str,
    path: str | Path,
    draws_path: str | Path | None = None,
    trusted_engine: str = "",
) -> Path:
    """Trace and marginal of every parameter, and their pairs; returns the figure's path.

    Of each marginal: the draws, the MPDF with its mode and bounds, and the exact
    curve where one source is fitted.  The first PARAMETERS_SHOWN parameters are
    drawn, sources first.  All draws go to `draws_path`, if given, for ArviZ (netCDF).
    `trusted_engine` is the only engine from outside of this package that may be used.

    Raises InputError if there is no such run, its input is gone, or xarray or netCDF4 is missing.
    """
    found = find_key(results, key)
    run, config = rerun(results, found, trusted_engine)
    problem, posterior = run.problem, run.posterior
    draws = _drawn(run, found.seed(config.seed))
    if draws_path:
        _save_draws(found, problem, draws, draws_path)
    n = min(problem.n_columns, PARAMETERS_SHOWN)
    labels = [_label(problem, i) for i in range(n)]
    n_pairs = n * (n - 1) // 2
    n_rows = n + -(-n_pairs // 2)
    figure, axes = panels(2, n_rows, height=1.9)
    unit = unit_of(found.quantity)
    smoothing = config.policy().smoothing
    for i in range(n):
        is_source = i < problem.n_sources
        axis = f"{labels[i]}\n({unit})" if is_source else f"{labels[i]}\n({unit} pixel$^{{-1}}$)"
        _trace(axes[i, 0], draws.values[:, :, i], axis, draws.rhat[i], draws.ess[i])
        x = np.linspace(draws.of(i).min(), draws.of(i).max(), 400)
        curves = {"MPDF": posterior.mpdf(i, x, smoothing)}
        if (exact := _exact(problem, i)) is not None:
            curves["exact"] = exact.pdf(x)
        _marginal(axes[i, 1], draws.of(i), x, curves, posterior.summary(i, smoothing), labels[i])
    rest = axes[n:].reshape(-1)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for ax, (i, j) in zip(rest, pairs):
        x, y = draws.of(i)[:2000], draws.of(j)[:2000]
        ax.plot(x, y, ".", ms=1.5, color=BLUE, rasterized=True)
        ax.set(xlabel=labels[i], ylabel=labels[j])
        name_panel(ax, f"correlation {np.corrcoef(draws.of(i), draws.of(j))[0, 1]:.2f}")
    for ax in rest[len(pairs) :]:
        ax.remove()
    figure.suptitle(_title(str(found), run), fontsize=8)
    return save(figure, Path(path))


def _drawn(run: Run, seed: int) -> Draws:
    """The run's draws; those of gibbs for the same problem where its engine makes none."""
    if isinstance(run.posterior, Draws):
        return run.posterior
    return create("gibbs").sample(run.problem, np.random.SeedSequence([seed]))


def _save_draws(key: RunKey, problem: Problem, draws: Draws, path: str | Path) -> None:
    """As ArviZ's files have it: a group "posterior" with the dimensions chain and draw."""
    try:
        import netCDF4  # noqa: F401 (xarray writes through it)
        from xarray import Dataset
    except ImportError as error:
        raise InputError(f"draws need {error.name}: pip install xarray netCDF4") from None
    values, n = draws.values, problem.n_sources
    unit = QUANTITIES[key.quantity].unit
    dims = ("chain", "draw")
    draws = Dataset(
        {
            "source": ((*dims, "component"), values[:, :, :n], {"units": unit}),
            "background": ((*dims, "obsid"), values[:, :, n:], {"units": f"{unit} pixel-1"}),
        },
        {
            "chain": range(values.shape[0]),
            "draw": range(values.shape[1]),
            "component": list(problem.sources),
            "obsid": list(problem.backgrounds),
        },
        {"run": str(key)},
    )
    draws.to_netcdf(path, group="posterior", engine="netcdf4")


def _label(problem: Problem, i: int) -> str:
    if i < problem.n_sources:
        return problem.labels[i]
    return f"background {problem.labels[i].split('/')[-2] if '/' in problem.labels[i] else i}"


def _title(key: str, run: Run) -> str:
    parts = [f"{p.source}: {p.outcome.text}" for p in run.photometry]
    if len(run.attempts) > 1:
        parts.append("; then ".join(a.changes for a in run.attempts))
    return f"{key}\n{', '.join(parts)}"


def _trace(ax, values: np.ndarray, axis: str, rhat: float, ess: float) -> None:
    for chain, color in zip(values[:CHAINS_SHOWN], (BLUE, ORANGE, GREEN, GREY)):
        ax.plot(chain, lw=0.3, color=color, rasterized=True)
    ax.set(xlabel="draw", ylabel=axis, xlim=(0, values.shape[1]))
    shown = f" ({CHAINS_SHOWN} of {len(values)} chains)" if len(values) > CHAINS_SHOWN else ""
    name_panel(ax, rf"$\hat r$ {rhat:.3f}, ESS {ess:.0f}{shown}")


def _exact(problem: Problem, i: int):
    """The exact marginal of the only source, or None."""
    from ..sampling.one_source import marginal

    if problem.n_sources != 1 or i > 0:
        return None
    try:
        return marginal(problem)
    except SamplingError:
        return None


def _marginal(
    ax, draws: np.ndarray, x: np.ndarray, curves: dict[str, np.ndarray], s: Summary, label: str
) -> None:
    ax.hist(draws, 50, density=True, color=GREY, alpha=0.4, label="draws")
    styles = {"MPDF": {"color": BLUE}, "exact": {"color": BLACK, "lw": 1, "ls": "--"}}
    for name, y in curves.items():
        ax.plot(x, y, label=name, **styles[name])
    ax.axvline(s.mode, color=ORANGE, lw=1, label="mode")
    ax.axvspan(s.lolim, s.hilim, color=ORANGE, alpha=0.2, lw=0, label="68 % bounds")
    ax.set(xlabel=label, ylabel="probability density", xlim=(0 if s.is_upper_limit else None, None))
    legend(ax, "best")
