"""The configuration of a job: a TOML file, checked by a model that names what is wrong.

Every setting has the catalog's value as its default, so that the smallest
configuration is the list of inputs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from .catalog.fault import ConfigError
from .catalog.instruments import LONGEST_BAND
from .catalog.names import is_name
from .catalog.quantities import APERTURES, BANDS, HARDNESS, LEVELS, QUANTITIES
from .engines import ENGINES, Engine, create
from .engines.settings import (
    ExactSettings,
    GetDrawsSettings,
    GibbsSettings,
    Pymc3Settings,
    PymcSettings,
    Settings,
)
from .files.draws import SUFFIXES as DRAWS_SUFFIXES
from .files.schema import ENGINE_BYTES
from .files.source_priors import read_source_priors
from .photometry.detection import Detection
from .photometry.extras import ASKED, Extras
from .photometry.ladder import Policy
from .posterior.mpdf import NARROWEST, Smoothing
from .toml import tomllib

_PREP3_FILES = "*prep3.fits"


def _as_list(value):
    return [value] if isinstance(value, str) else value


Level = Literal[LEVELS]
Band = Annotated[str, Field(pattern=rf"^[!-.0-~]{{1,{LONGEST_BAND}}}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Aperture = Literal[APERTURES]
QuantityName = Literal[tuple(QUANTITIES)]
Paths = Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
PositiveInt = Annotated[int, Field(ge=1)]
# A year, which is more than any job has and less than what the system's timers take.
Seconds = Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Section(_Keys):
    model_config = ConfigDict(use_attribute_docstrings=True)  # which reads the source: slow


class Input(_Section):
    """One set of prep3 files (files, folders or globs) and the levels to measure from it."""

    prep3: Paths
    """FITS files of obsids: files, folders or globs, one or a list."""
    mst3: str | None = None
    """FITS file that says which components make which master source; without it there is no
    level master."""
    levels: list[Level] = Field(default=list(LEVELS), min_length=1)
    """Levels to measure: each obsid, the obsids of each stack together, master sources."""


class Select(_Section):
    """Which runs of the inputs are wanted."""

    bands: list[Band] = []
    """Energy bands, the catalog's or your own in [bands]; all bands of the files by default."""
    apertures: list[Aperture] = Field(default=list(APERTURES), min_length=1)
    """The source aperture itself, and the aperture of 90 % encircled counts."""
    quantities: list[QuantityName] = Field(default=list(QUANTITIES), min_length=1)
    """Energy flux, photon flux, count rate, net counts."""


def _section_of(settings: type[Settings]) -> type[_Keys]:
    """The section [engine.NAME] with an engine's settings."""
    types = get_type_hints(settings)
    keys = {f.name: (types[f.name], Field(f.default, **f.metadata)) for f in fields(settings)}
    return create_model(settings.__name__, __base__=_Keys, __doc__=settings.__doc__, **keys)


PymcConfig = _section_of(PymcSettings)
Pymc3Config = _section_of(Pymc3Settings)
GibbsConfig = _section_of(GibbsSettings)
ExactConfig = _section_of(ExactSettings)
GetDrawsConfig = _section_of(GetDrawsSettings)


class EngineConfig(_Section):
    """The sampler, and the settings of each."""

    name: str = "pymc3"
    """pymc3, pymc, gibbs, exact or get_draws, or package.module:Class for an engine of your own."""
    scratch: str | None = None
    """Folder for compiled code while the job runs; on the node by default."""
    pymc3: Pymc3Config = Pymc3Config()
    pymc: PymcConfig = PymcConfig()
    gibbs: GibbsConfig = GibbsConfig()
    exact: ExactConfig = ExactConfig()
    get_draws: GetDrawsConfig = GetDrawsConfig()
    options: dict[str, Any] = {}
    """Settings of an engine of your own."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ENGINES and ":" not in name:
            raise ValueError(f"expected one of {', '.join(ENGINES)} or package.module:Class")
        return name

    def settings(self) -> dict:
        """The settings of the chosen engine."""
        if ":" in self.name:
            return dict(self.options)
        return getattr(self, self.name).model_dump()

    def create(self) -> Engine:
        """The chosen engine; ConfigError if it cannot be made."""
        try:
            engine = create(self.name, **self.settings())
            if not callable(getattr(engine, "sample", None)):
                raise TypeError(f"a {type(engine).__name__} has no method `sample`")
            if not is_name(engine.name) or len(engine.name) > ENGINE_BYTES:
                raise ValueError(
                    f"it is called {engine.name!r}, expected at most {ENGINE_BYTES} characters of "
                    "printable ASCII"
                )
        except Exception as error:
            raise ConfigError(
                f"engine.name = {self.name!r} cannot be used: {type(error).__name__}: {error}; "
                f"choose one of {', '.join(ENGINES)}, or install what it needs"
            ) from error
        return engine


class SummaryConfig(_Section):
    """How draws become mode and bounds (memo, section 3.1)."""

    bandwidth: Annotated[float, Field(ge=NARROWEST)] = Smoothing.bandwidth
    """Half-width of the smoothing kernel, in units of the posterior's rms."""
    level: Annotated[float, Field(gt=0, lt=1)] = Smoothing.level
    """Probability between the bounds."""
    upper_limit: Literal["catalog", "quantile"] = Smoothing.upper_limit
    """Twice the mode, as the catalog, or the quantile of `level`."""


class LadderConfig(_Section):
    """Second attempts where a run is pegged, fails or does not converge (memo, section 7)."""

    prior_factor: Annotated[float, Field(gt=1)] = Policy.prior_factor
    """Factor on the prior bound of a pegged parameter."""
    background_factor: Annotated[float, Field(gt=1)] = Policy.background_factor
    """Divisor of the background priors when sampling fails."""
    energy_floor: Annotated[float, Field(ge=0)] = Policy.energy_floor
    """Energy fluxes of less are NULL, in erg s⁻¹ cm⁻²."""
    rhat_limit: Annotated[float, Field(gt=1)] = Policy.rhat_limit
    """Above it a run is sampled again with twice the tuning, then flagged."""
    ess_limit: Annotated[float, Field(ge=0)] = Policy.ess_limit
    """Below it a source is flagged."""
    on_bad_input: Literal["skip", "abort"] = "skip"
    """Record what is wrong and go on, or end the job there."""


class ExtrasConfig(_Section):
    """Numbers beside mode and bounds (docs: Limits)."""

    numbers: list[Literal[tuple(ASKED)]] = []
    """Of ml, no_source, detection_limit, hdi, backgrounds and correlations; the last three need
    each posterior by itself, which takes longer."""
    false_alarm: Annotated[float, Field(gt=0, lt=1)] = Detection.false_alarm
    """For detection_limit: how often, at most, the background alone is a detection."""
    power: Annotated[float, Field(gt=0, lt=1)] = Detection.power
    """For detection_limit: how often a source of that brightness is detected."""


class Output(_Section):
    """Where the results go, and how often they are made safe."""

    results: str
    """The results file (HDF5), which must not exist yet."""
    mpdf: Annotated[list[str], BeforeValidator(_as_list)] = []
    """Patterns of the runs whose posterior densities are kept (docs: Products); "*" for all."""
    draws: Annotated[list[str], BeforeValidator(_as_list)] = []
    """Patterns of the runs whose draws are written (docs: Draws), a file each in a folder beside
    the results, `results.draws` for `results.h5`."""
    draws_format: Literal[tuple(DRAWS_SUFFIXES)] = "netcdf"
    """Format of the files of draws: netCDF as ArviZ reads it, or FITS."""
    batch_runs: PositiveInt = 100_000
    """Results are made safe on disk after so many runs …"""
    flush_seconds: Seconds = 10.0
    """… or so many seconds, whichever comes first."""


class Limits(_Section):
    """Time limits, in seconds.

    The job ends by itself `reserve_seconds` before `job_seconds` are over, or the
    walltime that SLURM or PBS gave it; a run that takes longer than
    `run_seconds` is recorded as failed.
    """

    job_seconds: Seconds | None = None
    """The job ends itself before so many seconds; the walltime of SLURM or PBS by default."""
    reserve_seconds: Seconds = 120.0
    """How long before the end of its time the job stops; never more than a fifth of it."""
    run_seconds: Seconds = 1800.0
    """A run that takes longer is recorded as failed."""


class PriorsConfig(_Section):
    """Gamma priors, from a table or an earlier epoch, and bounds of uniform ones (docs: Priors)."""

    file: str | None = None
    """A table with priors, or a results file, of which each source has mean and rms; priors are
    uniform without it."""
    level: Level = "stack"
    """The level of the results file whose rows are the priors."""
    upper: dict[str, dict[QuantityName, tuple[Positive, Positive]]] = {}
    """Upper bounds of uniform priors in place of Table 1's, by instrument and quantity: of sources,
    and of backgrounds per pixel."""


class ProductsConfig(_Section):
    """Which fluxes the products compare between bands and observations (docs: Hardness)."""

    quantity: QuantityName = "photflux"
    """That of hardness ratios, variability, significance and blocks."""
    hardness: dict[Annotated[str, Field(pattern="^[A-Za-z0-9]{1,16}$")], tuple[Band, Band]] = {
        **HARDNESS
    }
    """Hardness ratios: the harder band and the softer one."""


class Config(_Section):
    """A whole job."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The same seed gives the same rows, on any number of ranks."""
    input: list[Input] = Field(min_length=1)
    output: Output
    select: Select = Select()
    bands: dict[Band, tuple[Positive, Positive]] = {}
    """Energies in keV of bands that are not the catalog's, for descriptions of columns."""
    engine: EngineConfig = EngineConfig()
    summary: SummaryConfig = SummaryConfig()
    ladder: LadderConfig = LadderConfig()
    extras: ExtrasConfig = ExtrasConfig()
    priors: PriorsConfig = PriorsConfig()
    products: ProductsConfig = ProductsConfig()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _selected_bands(self) -> Config:
        known = [*BANDS, *self.bands]
        named = {f"select.bands.{i}": band for i, band in enumerate(self.select.bands)}
        for pair, bands in self.products.hardness.items():
            named |= {f"products.hardness.{pair}.{i}": band for i, band in enumerate(bands)}
        for place, band in named.items():
            if band not in known:
                raise ValueError(
                    f"{place} = {band!r}: expected one of {', '.join(known)}; bands of your own "
                    "are named in [bands]"
                )
        for band, (low, high) in self.bands.items():
            if band in BANDS or not low < high:
                raise ValueError(
                    f"bands.{band} = {[low, high]}: expected a name that the catalog does not have "
                    "and the lower and the upper energy in keV"
                )
        return self

    def policy(self) -> Policy:
        """The settings of the ladder and of the summaries as the photometry takes them."""
        ladder = self.ladder.model_dump(exclude={"on_bad_input"})
        detection = Detection(self.extras.false_alarm, self.extras.power)
        extras = Extras(tuple(self.extras.numbers), detection)
        smoothing = Smoothing(**self.summary.model_dump())
        found = self.priors.file and read_source_priors(self.priors.file, self.priors.level)
        upper = self.priors.upper
        return Policy(smoothing, extras=extras, priors=found or {}, prior_upper=upper, **ladder)

    def hash(self) -> str:
        """Digest of everything that decides the numbers."""
        text = json.dumps(decisive(self.model_dump(mode="json")), sort_keys=True).encode()
        if self.priors.file:
            text += Path(self.priors.file).read_bytes()
        return hashlib.sha256(text).hexdigest()[:16]


def decisive(config: dict) -> dict:
    """The settings of a whole configuration that decide the numbers.

    Without output, products, limits, scratch, names of bands, engines that were not chosen, extras
    that are not asked for and priors that are not given.
    """
    asks = config.get("extras", {}).get("numbers")
    without = {"output", "products", "limits", "bands", "priors"} | (set() if asks else {"extras"})
    priors = {key: value for key, value in config.get("priors", {}).items() if value}
    engine = config["engine"]
    section = engine["name"] if engine["name"] in ENGINES else "options"
    return {
        **{name: value for name, value in config.items() if name not in without},
        **({} if priors.keys() <= {"level"} else {"priors": priors}),
        "engine": {"name": engine["name"], section: engine[section]},
        "ladder": {k: v for k, v in config["ladder"].items() if k != "on_bad_input"},
    }


def folder_config(folder: str | Path, engine: str | None = None) -> dict:
    """A configuration, as `Config` takes it, to measure all files of a folder into its results.h5.

    The prep3 files lie in the folder or in its folder `prep3`, the mst3 file is
    `mst3.fits` beside either.  Raises ConfigError if there is no prep3 file.
    """
    folder = Path(folder)
    places = [place for place in (folder, folder / "prep3") if any(place.glob(_PREP3_FILES))]
    if not places:
        raise ConfigError(
            f"{folder}: neither here nor in its folder prep3 is a file {_PREP3_FILES}; name the "
            "folder of the files, or make some with `mpiapp import`"
        )
    found: dict = {"prep3": str(places[0])}
    masters = [place / "mst3.fits" for place in (places[0], folder)]
    for path in masters:
        if path.exists():
            found["mst3"] = str(path)
    config = {"input": [found], "output": {"results": str(folder / "results.h5")}}
    return config | ({"engine": {"name": engine}} if engine else {})


def load(path: str | Path) -> Config:
    """Read a configuration; relative paths in it are relative to the working directory.

    A folder stands for the configuration that measures all of its files with every default.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or has an unknown key or an
        impossible value; the message has a line for each.
    """
    if Path(path).is_dir():
        return Config.model_validate(folder_config(path))
    try:
        text = Path(path).read_bytes().decode("utf-8")
        return Config.model_validate(tomllib.loads(text))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{path}: {_explain(problem)}" for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _meant(place: tuple) -> str:
    """Advice on an unknown key: the key that it resembles, or all keys that there are."""
    section: type[_Keys] = Config
    for part in place[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            of = section.model_fields[part].annotation
            section = next((s for s in (of, *get_args(of)) if _is_section(s)), section)
    known = list(section.model_fields)
    like = get_close_matches(str(place[-1]), known, 1)
    return f"did you mean {like[0]}?" if like else f"expected one of {', '.join(known)}"


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, _Keys)


def _explain(problem: dict) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "list_type" and where == "input":
        return "input: write [[input]], in double brackets: there may be several"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}: {_meant(problem['loc'])}"
    if problem["type"] == "value_error" and not problem["loc"]:
        return str(problem["ctx"]["error"])
    if problem["type"] == "missing":
        return f"{where} is missing"
    return f"{where} = {problem['input']!r}: {problem['msg'].lower()}"
