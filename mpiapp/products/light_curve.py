"""The light curve of a source: its result in each observation, its average and its blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from astropy.table import MaskedColumn, Table

from .. import __version__
from ..catalog.fault import InputError
from ..catalog.masters import Associations
from ..catalog.names import natural
from ..catalog.quantities import QUANTITIES, band_order
from ..files.prep3_tables import Prep3Header
from ..files.results import Results
from .columns import BASIC, EXTRAS, CatalogColumn, plain_column

# Numbers of a result; in a light curve `value` stands without the quantity's name.
_NUMBERS = (*BASIC[:3], EXTRAS["mode"], *BASIC[3:])
_DAY = 86_400.0
_KEYS = (
    CatalogColumn("interval", "", "meta.id;time.interval",
                  "obsid; avg: all observations; blockN: Bayesian Block by flux; timeN: by time"),
    CatalogColumn("stack", "", "meta.id", "detection stack"),
    CatalogColumn("obsid", "", "meta.id;obs", "observation"),
    CatalogColumn("band", "", "meta.id;instr.bandpass", "energy band"),
    CatalogColumn("mjd", "d", "time.start;obs.exposure", "start of the first observation"),
    CatalogColumn("mjd_end", "d", "time.end;obs.exposure",
                  "start of the last observation and its exposure: it ended then or later"),
    CatalogColumn("exposure", "s", "time.duration;obs.exposure", "exposure, of all observations"),
)  # fmt: skip

Pairs = Sequence[tuple[str, str]]


def light_curve(
    results: Results,
    source: str,
    observed: Mapping[tuple[str, str], Prep3Header],
    associations: Associations | None = None,
    masters: Results | None = None,
    bands: Sequence[str] = (),
    quantity: str = "photflux",
    aperture: str = "aper",
) -> Table:
    """A row for each observation and band, in the order of time, then for average and blocks.

    source : a master source of the associations, or stack/component
    observed : header of each (stack, obsid): when it was and how long; may lack some
    masters : results that have the average and the blocks, where those of `results` are others
    bands : all that there are by default

    A detection's average is its result at level stack.  Raises InputError if there is no such
    source, or no result of it in an observation.
    """
    if quantity not in QUANTITIES:
        raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
    wanted = {"quantity": [quantity], "aperture": [aperture]} | ({"band": bands} if bands else {})
    components, of_interval = _members(source, associations)
    found = [
        ("obsid", [tuple(row["target"].decode().split("/")[:2])], row)
        for row in _chosen(results, "obsid", wanted, components)
    ]
    if not found:
        raise InputError(
            f"{results.path}: no {quantity} of {source} in an observation, aperture {aperture}; "
            + ("check its name" if associations else "a master source needs --mst3 FILE")
        )
    found.sort(key=lambda one: _order(one, observed))
    everywhere = list(dict.fromkeys(pairs[0] for _, pairs, _ in found))
    summaries = [
        (interval, of_interval.get(interval, everywhere), row)
        for interval, row in _summaries(masters or results, source, wanted, components)
    ]
    summaries.sort(key=lambda one: (one[0] != "avg", natural(one[0]), _band(one[2])))
    table = _table([*found, *summaries], observed, quantity)
    table.meta = {
        "creator": f"mpiapp {__version__}",
        "results": results.path.name,
        "source": source,
        "quantity": quantity,
        "aperture": aperture,
    }
    return table


def _members(
    source: str, associations: Associations | None
) -> tuple[set[tuple[str, str]], dict[str, Pairs]]:
    """The (stack, component) that are the source, and the observations of each of its blocks."""
    if associations is not None and source in associations:
        found = associations.components_of(source)
        blocks = {
            f"{kind}{number}": pairs
            for kind, of in (
                ("block", associations.blocks_of(source)),
                ("time", associations.time_blocks_of(source)),
            )
            for number, pairs in of.items()
        }
        return {(stack, name) for stack, name, match in found if match == "u"}, blocks
    stack, _, component = source.rpartition("/")
    return {(stack, component)}, {}


def _chosen(
    results: Results, level: str, wanted: Mapping[str, list], components: set[tuple[str, str]]
) -> Iterator[np.void]:
    """The rows of a level whose columns have wanted values, of some (stack, component)."""
    wanted = wanted | {"component": [component for _, component in components]}
    for rows in results.chunks("photometry"):
        mine = rows["level"] == level.encode()
        for name, values in wanted.items():
            mine &= np.isin(rows[name], [value.encode() for value in values])
        for row in rows[mine]:
            # the first part of a target is its stack, or the master source itself
            if (row["target"].decode().split("/")[0], row["component"].decode()) in components:
                yield row


def _summaries(
    results: Results, source: str, wanted: Mapping[str, list], components: set
) -> Iterator[tuple[str, np.void]]:
    """(interval, row) of each result of several observations together."""
    for row in _chosen(results, "master", wanted, {(source, source)}):
        yield row["target"].decode().rpartition("/")[2], row
    if {tuple(source.rpartition("/")[::2])} == components:
        for row in _chosen(results, "stack", wanted, components):
            yield "avg", row


def _order(one: tuple, observed: Mapping[tuple[str, str], Prep3Header]) -> tuple:
    """By start, where it is known, then as in the lists of bands."""
    _, ((stack, obsid),), row = one
    header = observed.get((stack, obsid))
    mjd = header.mjd if header and header.mjd is not None else np.inf
    return mjd, stack, natural(obsid), _band(row)


def _band(row: np.void) -> tuple[int, str]:
    return band_order(row["band"].decode())


def _table(found: list[tuple], observed: Mapping, quantity: str) -> Table:
    keys = []
    for interval, pairs, row in found:
        headers = [observed[pair] for pair in pairs if pair in observed]
        timed = [h for h in headers if h.mjd is not None]
        ends = [h.mjd + (h.exposure or 0.0) / _DAY for h in timed]
        seconds = [h.exposure for h in headers if h.exposure is not None]
        alone = pairs[0] if interval == "obsid" else ("", "")
        keys.append(
            (
                interval,
                *alone,
                row["band"].decode(),
                min((h.mjd for h in timed), default=np.nan),
                max(ends, default=np.nan),
                sum(seconds) if seconds else np.nan,
            )
        )
    table = Table(masked=True)
    for what, values in zip(_KEYS, zip(*keys)):
        table[what.name] = _column(what, np.array(values))
    rows = np.array([row for *_, row in found])
    for field in _NUMBERS:
        what = plain_column(QUANTITIES[quantity], field)
        name = field.suffix.removeprefix("_") or "value"
        table[name] = _column(what, rows[field.source])
    return table


def _column(what: CatalogColumn, values: np.ndarray) -> MaskedColumn:
    if values.dtype.kind == "f":
        values = np.ma.masked_invalid(values)
    return MaskedColumn(
        values, unit=what.unit or None, description=what.description, meta={"ucd": what.ucd}
    )
