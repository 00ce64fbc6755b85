"""Pictures of a field as astronomers look at it: smoothed counts, and all regions upon them."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..catalog.fault import InputError
from ..extract.bundle_files import (
    OpenObservation,
    OpenSource,
    counts_images,
    open_observation,
    open_source,
)
from ..extract.bundles import background_of
from ..extract.field import Field
from ..extract.observation import Extracted
from ..extract.psf import Psf
from ..extract.quality import FLAGS
from ..extract.region import Bounds, Region
from ..extract.sky import Grid
from ..files.replacing import replacing
from .figures import BLUE, GREEN, ORANGE, RED, save, styled
from .page import figure_html, page_html, table_html

# Panels of one figure: observations down, bands across.
MAX_OBSERVATIONS, MAX_BANDS = 4, 5
GALLERY = 40
_ACROSS = 160
_SMOOTH = 0.012  # of the panel's width, the sigma of the Gaussian that smooths the counts
_SCALES = (1, 2, 5, 10, 20, 30, 60)


def plot_source(
    field: Field, name: str, path: str | Path, bands: Sequence[str] = (), obsid: str = ""
) -> Path:
    """Draw a source of a field in its observations and bands; returns the figure's path.

    Raises InputError if no observation has it, or none can be read.
    """
    return save(source_figure(field, name, bands, obsid), Path(path))


def source_figure(field: Field, name: str, bands: Sequence[str] = (), obsid: str = ""):
    """The figure of a source: a row for an observation, a column for a band.

    Smoothed counts; apertures `aper` (solid) and `aper90` (dashed), the background region with its
    holes, apertures of the neighbours, half and nine tenths of the PSF's light; compass and scale.
    """
    stack, _, component = name.rpartition("/")
    found = [
        (files, source)
        for files in field.observations
        for source in files.sources
        if source.name == component and stack in ("", files.stack) and obsid in ("", files.obsid)
    ]
    if not found:
        names = sorted({s.name for files in field.observations for s in files.sources})
        raise InputError(f"no source {name} in the field; it has {', '.join(names[:20])}")
    opened = []
    for files, source in found[:MAX_OBSERVATIONS]:
        observation = open_observation(files, field.settings)
        opened.append((observation, open_source(observation, source)))
    shown = [b for b in (bands or opened[0][0].bands) if b in opened[0][1].psf][:MAX_BANDS]
    if not shown:
        raise InputError(f"{name}: none of the bands {', '.join(bands)} has a PSF")
    with styled(**{"axes.spines.top": True, "axes.spines.right": True}) as new_figure:
        size = 2.6 * len(shown), 2.9 * len(opened) + 0.2  # with a title each, and a legend
        figure = new_figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(opened), len(shown), squeeze=False)
        for row, (observation, source) in zip(panels, opened):
            for axes, band in zip(row, shown):
                _draw(axes, observation, source, band)
        _name_lines(figure)
        return figure


def _name_lines(figure) -> None:
    """A legend of the lines of every panel, below them."""
    from matplotlib.lines import Line2D

    lines = {
        "aperture": (BLUE, "-"),
        "90 % aperture": (BLUE, ":"),
        "background": (GREEN, "--"),
        "neighbours": (ORANGE, "-"),
        "PSF: 50 and 90 %": (RED, "-"),
    }
    figure.legend(
        [Line2D([], [], color=color, ls=style, lw=1) for color, style in lines.values()],
        list(lines),
        loc="outside lower center",
        ncols=len(lines) if figure.get_figwidth() > 6 else 2,
        frameon=False,
        fontsize=7,
    )


def _draw(axes, observation: OpenObservation, source: OpenSource, band: str) -> None:
    from matplotlib.patheffects import withStroke

    background = background_of(observation, [source])
    grid = _window(background.bounds)
    axes.imshow(
        np.arcsinh(_smoothed(observation, source, band, grid)),
        origin="lower",
        extent=grid.bounds,
        cmap="gray_r",
        interpolation="nearest",
    )
    _outline(axes, background, grid, GREEN, "--", 0.8)
    near = {
        name: region
        for name, region in observation.apertures.items()
        if name != source.files.name and region.bounds.meets(grid.bounds)
    }
    for region in near.values():
        _outline(axes, region, grid, ORANGE, "-", 0.8)
    for name, (x, y) in label_places(near, grid.bounds).items():
        axes.text(
            x, y, name, color=ORANGE, fontsize=6, ha="center", va="center",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip
    for aperture, line in (("aper", "-"), ("aper90", ":")):
        if region := source.apertures.get((aperture, band)):
            _outline(axes, region, grid, BLUE, line, 1.4)
    psf = source.psf[band]
    if isinstance(psf, Psf) and isinstance(psf.layout, Grid):
        _psf_contours(axes, psf)
    axes.set(xlim=grid.bounds[:2], ylim=grid.bounds[2:], xticks=[], yticks=[])
    axes.set_title(f"{observation.files.obsid} {source.files.name} {band}", fontsize=8, loc="left")
    _compass(axes, observation, grid)


def _window(bounds: Bounds) -> Grid:
    """Square pixels over a region and some of its surroundings."""
    x_low, x_high, y_low, y_high = bounds
    width = 1.1 * max(x_high - x_low, y_high - y_low)
    step = width / _ACROSS
    origin = tuple((a + b - width + step) / 2 for a, b in ((x_low, x_high), (y_low, y_high)))
    return Grid(origin, step, (_ACROSS, _ACROSS))


def _smoothed(
    observation: OpenObservation, source: OpenSource, band: str, grid: Grid
) -> np.ndarray:
    """(ny, nx) counts of the band, smoothed."""
    from astropy.convolution import Gaussian2DKernel, convolve_fft

    events = source.events or observation.events
    x_low, x_high, y_low, y_high = grid.bounds
    if events is not None:
        near = np.flatnonzero(
            (events.x >= x_low) & (events.x < x_high) & (events.y >= y_low) & (events.y < y_high)
        )
        near = events.in_band(near, observation.settings.energies[band])
        counts, *_ = np.histogram2d(
            events.y[near], events.x[near], grid.shape, ((y_low, y_high), (x_low, x_high))
        )
    elif images := counts_images(observation, [source], band):
        x = grid.origin[0] + grid.step * np.arange(grid.shape[1])
        y = grid.origin[1] + grid.step * np.arange(grid.shape[0])
        x, y = np.meshgrid(x, y)
        counts = np.nan_to_num(images[0].at(x.ravel(), y.ravel())).reshape(grid.shape)
    else:
        raise InputError(f"{observation.files.name}: no events and no image in band {band}")
    return convolve_fft(counts, Gaussian2DKernel(_SMOOTH * _ACROSS), boundary="fill")


def label_places(regions: Mapping[str, Region], panel: Bounds) -> dict[str, tuple[float, float]]:
    """Where names of regions fit into a panel beside their regions, none upon another.

    Those nearest to the middle come first; names without a free place are left out.
    """
    width = panel.x_high - panel.x_low
    middle = (panel.x_low + panel.x_high) / 2, (panel.y_low + panel.y_high) / 2
    placed: list[Bounds] = []
    found = {}
    for name, region in sorted(regions.items(), key=lambda r: math.dist(r[1].centre, middle)):
        (x, y), edge = region.centre, region.bounds
        dx, dy = 0.012 * width * len(name), 0.025 * width  # half of what a name of 6 pt takes
        beside = (edge.x_high + dx, y), (edge.x_low - dx, y)
        above = (x, edge.y_high + dy), (x, edge.y_low - dy)
        for at in (*beside, *above):
            box = Bounds(at[0] - dx, at[0] + dx, at[1] - dy, at[1] + dy)
            if panel.holds(box) and not any(box.meets(other) for other in placed):
                placed.append(box)
                found[name] = at
                break
    return found


def _outline(axes, region: Region, grid: Grid, color: str, line: str, width: float) -> None:
    """The edge of a region, holes and all."""
    fine = 4
    x_low, x_high, y_low, y_high = grid.bounds
    x = np.linspace(x_low, x_high, fine * grid.shape[1])
    y = np.linspace(y_low, y_high, fine * grid.shape[0])
    across, up = np.meshgrid(x, y)
    inside = region.contains(across.ravel(), up.ravel()).reshape(across.shape)
    if inside.any() and not inside.all():
        axes.contour(x, y, inside, [0.5], colors=color, linestyles=line, linewidths=width)


def _psf_contours(axes, psf: Psf) -> None:
    """Where half and nine tenths of the PSF's light are, brightest pixels first."""
    (x, y), step, (ny, nx) = psf.layout
    image = psf.weight.reshape(ny, nx)
    falling = np.sort(psf.weight)[::-1]
    held = np.cumsum(falling)
    levels = sorted({falling[min(np.searchsorted(held, f), len(held) - 1)] for f in (0.5, 0.9)})
    if len(levels) == 2 and levels[0] > 0:
        x, y = x + step * np.arange(nx), y + step * np.arange(ny)
        axes.contour(x, y, image, levels, colors=RED, linewidths=0.7)


def _compass(axes, observation: OpenObservation, grid: Grid) -> None:
    """North, east and a bar with its length in arcsec."""
    frame, (x_low, x_high, y_low, y_high) = observation.frame, grid.bounds
    width = x_high - x_low
    if frame.wcs is None:
        return
    at = x_high - 0.14 * width, y_high - 0.2 * width
    ra, dec = frame.celestial(*at)
    ahead = 0.1 * width * frame.pixel_arcsec / 3600
    for label, east, north in (("N", 0, ahead), ("E", ahead / np.cos(np.radians(dec)), 0)):
        tip = frame.wcs.world_to_pixel_values(ra + east, dec + north)
        axes.annotate(
            label,
            at,
            (float(tip[0]), float(tip[1])),
            fontsize=7,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "<-", "lw": 0.8, "shrinkA": 3, "shrinkB": 0},
        )
    wanted = 0.3 * width * frame.pixel_arcsec
    arcsec = max([s for s in _SCALES if s <= wanted] or [_SCALES[0]])
    length = arcsec / frame.pixel_arcsec
    left, low = x_low + 0.06 * width, y_low + 0.06 * width
    axes.plot([left, left + length], [low, low], color="black", lw=2)
    axes.annotate(f'{arcsec}"', (left + length / 2, low + 0.02 * width), fontsize=7, ha="center")


def write_gallery(field: Field, done: Sequence[Extracted], title: str, path: str | Path) -> Path:
    """The page of an extraction: what was done, what went wrong, and pictures of what is flagged.

    Of many flagged sources the first GALLERY are drawn.
    """
    from astropy.table import Table

    observations = Table(
        rows=[(d.name, d.sources, d.source_bands, len(d.missing), len(d.faults)) for d in done],
        names=("observation", "sources", "source bands", "off the field", "faults"),
    )
    flagged = [(d.name, c, flags) for d in done for c, flags in d.flags.items()]
    body = [f"<h1>{html.escape(title)}</h1>", table_html(observations)]
    faults = [fault for one in done for fault in one.faults]
    if faults:
        body.append(f"<h2>Faults</h2>\n<pre>{html.escape(chr(10).join(faults))}</pre>")
    body.append(f"<h2>Flagged sources</h2>\n<p>{len(flagged)} in all.</p>")
    meanings = Table(rows=list(FLAGS.items()), names=("flag", "what it means"))
    body.append(table_html(meanings))
    for name, component, flags in flagged[:GALLERY]:
        stack, _, obsid = name.rpartition("/")
        words = f"{name} {component}: {flags}"
        try:
            figure = source_figure(field, f"{stack}/{component}", obsid=obsid)
            body.append(figure_html(figure, f"{name} {component}", words))
        except InputError as error:
            body.append(f"<p>{html.escape(f'{words}: not drawn: {error}')}</p>")
    path = Path(path)
    with replacing(path) as new:
        new.write_text(page_html(title, "\n".join(body)), encoding="utf-8")
    return path
