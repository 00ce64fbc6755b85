"""`mpiapp plot`: one run of a results file, drawn again from its seed, seen from all sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..catalog.outcome import outcome_text
from ..catalog.problem import Problem
from ..engines import Draws, SamplingError
from ..files.draws import check_suffix, write_draws
from ..files.results import Results
from ..photometry.kept_draws import drawn, run_draws
from ..photometry.ladder import Run
from ..posterior import Posterior, Smoothing
from .corner import CHAINS_SHOWN, Parameter, corner
from .figures import save, unit_of
from .rerun import find_key, rerun

# More parameters than this are not legible on a page; units stand beside so many.
PARAMETERS_SHOWN = 12
_UNITS_SHOWN = 4


def plot_run(
    results: Results,
    key: str,
    path: str | Path,
    draws_path: str | Path | None = None,
    trusted_engine: str = "",
    inputs: str | None = None,
) -> Path:
    """Marginal and trace of every parameter and each pair, as a corner; returns the figure's path.

    Of each marginal: the draws, the MPDF with its mode and bounds, and the posterior without the
    catalog's kernel where it is known.  Of more than PARAMETERS_SHOWN parameters the first are
    drawn, sources first, and the title names the others.  All draws go to `draws_path`, if given,
    as netCDF for ArviZ or FITS.  `trusted_engine` is the only engine from outside of this package
    that may be used, `inputs` the folder where the inputs are now.

    Raises InputError if there is no such run, its input is gone, or the draws cannot be written.
    """
    if draws_path:
        check_suffix(Path(draws_path).suffix)
    found = find_key(results, key)
    run, config = rerun(results, found, trusted_engine, inputs)
    problem, posterior = run.problem, run.posterior
    draws = drawn(problem, posterior, found.seed(config.seed))
    if draws_path:
        write_draws(run_draws(found, run, draws, found.seed(config.seed)), draws_path)
    smoothing = config.policy().smoothing
    figure = posterior_corner(
        problem, posterior, found.quantity, smoothing, draws, _title(str(found), run)
    )
    return save(figure, Path(path))


def posterior_corner(
    problem: Problem,
    posterior: Posterior,
    quantity: str,
    smoothing: Smoothing,
    draws: Draws | None = None,
    title: str = "",
):
    """The figure of a posterior; gibbs draws where the engine of the posterior does not.

    Raises InputError if matplotlib is not installed.
    """
    draws = drawn(problem, posterior, 0) if draws is None else draws
    n = min(problem.n_columns, PARAMETERS_SHOWN)
    unit = unit_of(quantity)
    parameters = []
    for i in range(n):
        x = np.linspace(draws.of(i).min(), draws.of(i).max(), 400)
        curves = {"MPDF (catalog's kernel)": (x, posterior.mpdf(i, x, smoothing))}
        if (exact := _exact(problem, posterior, i)) is not None:
            curves["posterior"] = x, exact(x)
        own = unit if i < problem.n_sources else rf"{unit} pixel$^{{-1}}$"
        parameters.append(
            Parameter(
                _label(problem, i),
                own if n <= _UNITS_SHOWN else "",
                draws.values[:, :, i],
                draws.rhat[i],
                draws.ess[i],
                posterior.summary(i, smoothing),
                curves,
            )
        )
    notes = _left_out(problem, posterior, draws, n)
    if n > _UNITS_SHOWN:
        notes.append(rf"sources in {unit}, backgrounds in {unit} pixel$^{{-1}}$")
    return corner(parameters, "\n".join(filter(None, [title, *notes])))


def _left_out(problem: Problem, posterior: Posterior, draws: Draws, n: int) -> list[str]:
    """Notes on parameters and chains that are not drawn, and on draws of another engine."""
    notes = []
    if problem.n_columns > n:
        others = [_label(problem, i) for i in range(n, problem.n_columns)]
        shown = ", ".join(others[:4]) + (" …" if len(others) > 4 else "")
        notes.append(f"{len(others)} of {problem.n_columns} parameters are not drawn: {shown}")
    if len(draws.values) > CHAINS_SHOWN:
        notes.append(f"traces: {CHAINS_SHOWN} of {len(draws.values)} chains")
    if draws is not posterior:
        notes.append(f"draws, traces and pairs: engine gibbs; curves: {posterior.method}")
    return notes


def _label(problem: Problem, i: int) -> str:
    if i < problem.n_sources:
        return problem.labels[i]
    return f"bkg {problem.labels[i].split('/')[-2] if '/' in problem.labels[i] else i}"


def _title(key: str, run: Run) -> str:
    codes = run.numbers["outcome"].tolist()
    parts = [f"{source}: {outcome_text(code)}" for source, code in zip(run.sources, codes)]
    if len(run.attempts) > 1:
        parts.append("; then ".join(a.changes for a in run.attempts))
    return f"{key}\n{', '.join(parts)}"


def _exact(problem: Problem, posterior: Posterior, i: int):
    """The density of a parameter without the kernel, where it is known; or None."""
    if not isinstance(posterior, Draws):
        return lambda x: posterior.pdf(i, x)
    from ..engines.one_source import marginal

    if problem.n_sources != 1 or i > 0:
        return None
    try:
        return marginal(problem).pdf
    except SamplingError:
        return None
