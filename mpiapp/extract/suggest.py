"""A field file for the files of a folder, understood by their names.

Three ways of naming files are known: that of the catalog's products, that of CIAO's `srcflux`, and
a user's own, whose kind is a part of the name (evt, reg, bkg, psf, expmap, img).
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from ..catalog.fault import InputError
from ..catalog.instruments import ENERGY_RANGE, WORDS
from .field_file import Files
from .fits_input import open_fits
from .products import IMAGES, Found, scan, stack_of
from .region_files import is_fits, labels
from .sky import said

_BAND = rf"(?:{'|'.join((*WORDS.values(), *WORDS))})"
_ANY_BAND = rf"(?:{_BAND}|{ENERGY_RANGE})"
_SRCFLUX = re.compile(r"(.*?)\d{4}_srcreg\.fits(?:\.gz)?")
_EVENTS = re.compile(r"[^\s'\"=,\[\]]*evt[^\s'\"=,\[\]]*\.fits(?:\.gz)?")
# The first that is in a name, or its end, says what a file of a user is.
_KINDS = {
    "events": r"evt.*\.(fits|fit|gz)$",
    "psf": r"psf",
    "exposure_map": r"expmap|_exp3?\b",
    "arf": r"\.arf$",
    "background": r"(bkg|back).*(reg|fits)",
    "aper": r"\.reg$|(reg|src).*\.fits",
    "image": r"(img|image|counts)",
}
# Keys without which there is no C and F; an image does for events, a fraction for a PSF.
_NEEDED = {"events": ("events", "image"), "aper": ("aper",), "background": ("background",)}
_NEEDED |= {"psf": ("psf",)}


@dataclass
class Draft:
    """Keys of a field file; patterns are relative to the folder of the files.

    files : keys of [files];  observations : keys of each [[observation]]
    bands : those that are named by their limits in keV
    """

    files: dict[str, str] = field(default_factory=dict)
    observations: list[dict[str, str]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    bands: set[str] = field(default_factory=set)

    @property
    def given(self) -> set[str]:
        """All keys that some observation has."""
        return {key for keys in (self.files, *self.observations) for key in keys}

    @property
    def lacking(self) -> list[str]:
        """The keys that no file was found for, and without which nothing can be extracted."""
        return [key for key, any_of in _NEEDED.items() if not self.given & set(any_of)]

    def text(self, above: str = "") -> str:
        """The field file, with what is missing in comments; `above`: the folder to its files."""
        lines = ["# Which files belong to which source of which observation.", ""]
        if self.sources:
            lines += [f"sources = {json.dumps(self.sources, ensure_ascii=False)}", ""]
        if self.bands:
            limits = {band: band.split("-") for band in sorted(self.bands)}
            lines += ["[energies]"]
            lines += [f'"{b}" = [{float(low)}, {float(high)}]' for b, (low, high) in limits.items()]
            lines += [""]
        lines += ["[files]", *_assignments(self.files, above)]
        for key in self.lacking:
            lines += _missing(key)
        if "psf" in self.lacking:
            lines += _missing("psf_fraction", "0.9")
        for key in sorted({"exposure_map", "aper90"} - self.given):
            lines += _missing(key)
        for keys in self.observations:
            lines += ["", "[[observation]]", *_assignments(keys, above)]
        if not self.observations:
            lines += ["", "# No event list was found.", "[[observation]]", 'obsid = "1"']
        return "\n".join(lines) + "\n"


def _assignments(keys: Mapping[str, str], above: str) -> list[str]:
    return [
        f"{key} = {json.dumps(_joined(above, v) if key in Files.model_fields else v)}"
        for key, v in keys.items()
    ]


def _joined(above: str, pattern: str) -> str:
    return f"{_literal(above)}/{pattern}" if above not in ("", ".") else pattern


def _missing(key: str, value: str = '""') -> list[str]:
    text = f"Not found: {Files.model_fields[key].description}"
    wrapped = textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
    return [*wrapped, f"# {key} = {value}"]


def draft_field(folder: str | Path) -> Draft:
    """What the names in a folder, and in all folders inside, say of a field."""
    folder = Path(folder)
    observations, stacks = scan(folder)
    if any(found.regions for found in observations.values()):
        return _of_products(folder, observations, stacks)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    roots: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in paths:
        if match := _SRCFLUX.fullmatch(path.name):
            roots[path.parent, match[1]].append(path)
    if roots:
        bands = set().union(*(_energy_bands(*root) for root in roots))
        return Draft({}, [_of_srcflux(folder, *root) for root in roots], bands=bands)
    return _of_own_names(folder, paths)


def _literal(path: object) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")


def _relative(folder: Path, path: str | Path) -> str:
    return _literal(os.path.relpath(path, folder))


def _commonest(patterns: Iterable[str]) -> str:
    return max(Counter(patterns).items(), key=lambda item: (item[1], item[0]), default=("",))[0]


def _given(**keys: str) -> dict[str, str]:
    return {key: value for key, value in keys.items() if value}


def _of_products(folder: Path, observations: Mapping, stacks: Mapping[str, Found]) -> Draft:
    draft = Draft()
    for key, found in observations.items():
        if not found.regions:
            continue
        stack = stack_of(found, key, stacks, [])

        def pattern(*products: str, of: Found | None = found) -> str:
            for product in products if of else ():
                paths = [path for (p, *_), path in of.paths.items() if p == product]
                if paths:
                    return _commonest(_of_region(_relative(folder, path)) for path in paths)
            return ""

        regions = pattern("reg3", of=stacks.get(stack)) or pattern("reg3")
        events = pattern("regevt3", "evt3")
        ellipses = pattern("reg3")
        draft.observations.append(
            _given(
                obsid=found.label,
                stack=stack,
                events=events,
                image="" if events else pattern(*IMAGES),
                exposure_map=pattern("regexp3", "exp3"),
                aper=pattern("srcreg3") or (regions and regions + "[SRCREG]"),
                background=pattern("bkgreg3") or (regions and regions + "[BKGREG]"),
                aper90=ellipses and ellipses + "[ECF90REG{band}]",
                psf=pattern("psf3"),
            )
        )
    return draft


def _of_region(path: str) -> str:
    """The pattern of a product of a region, a band, or both."""
    head, name = os.path.split(path)
    name = re.sub(r"_r\d{4}", "_{source}", name)
    name = re.sub(r"(?<=[_}])[bhmsuw](?=_[a-z]+3[._])", "{band}", name)
    return os.path.join(head, name)


def _energy_bands(parent: Path, root: str) -> set[str]:
    """The bands that `srcflux` names by their limits in files of one root."""
    ends = r"\.flux|_thresh\.expmap|[._].*psf.*"
    pattern = rf"{re.escape(root)}(?:\d{{4}}_)?({ENERGY_RANGE})(?:{ends})"
    found = (re.fullmatch(pattern, path.name) for path in parent.iterdir())
    return {match[1] for match in found if match}


def _of_srcflux(folder: Path, parent: Path, root: str) -> dict[str, str]:
    """The observation whose files `srcflux` gave one root: root_0001_srcreg.fits and so on."""
    names = sorted(
        path.name[len(root) :] for path in parent.iterdir() if path.name.startswith(root)
    )
    start = _relative(folder, parent / "x")[:-1] + _literal(root)

    def pattern(after: str) -> str:
        """That of the names with this end after source and band."""
        found = []
        for name in names:
            if match := re.fullmatch(rf"(\d{{4}}_)?(?:({_ANY_BAND})(?=[_.]))?({after})", name):
                source, band, end = match[1], match[2], match[3]
                found.append(("{source}_" if source else "") + ("{band}" if band else "") + end)
        return start + _commonest(found) if found else ""

    whole = [name for name in names if re.fullmatch(rf"{_ANY_BAND}_thresh\.expmap", name)]
    maps = start + "{band}_thresh.expmap" if whole else pattern(r"_thresh\.expmap")
    flux = [parent / f"{root}{name}" for name in names if name.endswith(".flux")]
    events = _event_list(parent, flux)
    stack = re.sub(r"_?obi\d{3}_?$", "", root).strip("_") or parent.resolve().name
    return _given(
        obsid=_obsid(events) if events else stack,
        stack=re.sub(r"\W", "_", stack),
        events=events and _relative(folder, events),
        exposure_map=maps,
        arf="" if maps else pattern(r"\.arf"),
        aper=pattern(r"srcreg\.fits(?:\.gz)?"),
        background=pattern(r"bkgreg\.fits(?:\.gz)?"),
        psf=pattern(r"[._][\w.]*psf(?:\.\w+)*|\.psf") or pattern(r"\.flux"),
    )


def _event_list(parent: Path, flux: Sequence[Path]) -> str:
    """The event list that the .flux files name, or the one in their folder or that above it."""
    named, obsid = [], ""
    for path in flux[:1]:
        try:
            with open_fits(path, headers=True) as hdus:
                for hdu in hdus:
                    obsid = obsid or str(said(hdu.header, "OBS_ID", ""))
                    named += _EVENTS.findall(hdu.header.tostring(sep="\n"))
        except InputError:
            pass
    folders = parent, parent.resolve().parent
    found = [place / name for name in named for place in folders if (place / name).is_file()]
    found += [path for place in folders for path in sorted(place.glob("*evt*")) if path.is_file()]
    for path in found:
        if _EVENTS.fullmatch(path.name) and obsid in ("", _obsid(path)):
            return str(path)
    return ""


def _obsid(path: str | Path) -> str:
    """By the header of an event list, or the digits or the whole of its name."""
    try:
        with open_fits(path, headers=True) as hdus:
            for hdu in hdus:
                if number := str(said(hdu.header, "OBS_ID", "")).strip():
                    return re.sub(r"^0+(?=\d)", "", number)
    except InputError:
        pass
    name = Path(path).name
    digits = re.search(r"\d{3,}", name)
    return str(int(digits[0])) if digits else re.sub(r"\W", "_", name.split(".")[0])


def _of_own_names(folder: Path, paths: Sequence[Path]) -> Draft:
    kinds: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        name = path.name.lower()
        for kind, pattern in _KINDS.items():
            if re.search(pattern, name):
                kinds[kind].append(_relative(folder, path))
                break
    events = kinds["events"] or kinds["image"]
    obsids = [_obsid(folder / path) for path in events]
    first = folder / (kinds["aper"] or [""])[0]
    for kind, found in kinds.items():
        kinds[kind] = [_of_obsid(path, obsids) for path in found]
    draft = Draft()
    aper = sorted(set(kinds["aper"]))
    sources: list[str] = []
    if len(aper) > 1:
        start = re.sub(r"[^\W_]+$", "", _common(aper))
        rest = [name[len(start) :][::-1] for name in aper]
        end = re.sub(r"^[^\W_]+", "", _common(rest)[::-1])
        sources = [name[len(start) : len(name) - len(end)] for name in aper]
        draft.files["aper"] = f"{start}{{source}}{end}"
    elif aper:
        draft.files["aper"] = aper[0]
        if is_fits(first):
            sources = draft.sources = [first.name.split(".")[0]]
        else:
            sources = labels(str(first))
    for kind in ("events", "image", "background", "psf", "exposure_map", "arf"):
        if kinds[kind] and not (kind == "image" and kinds["events"]):
            patterns = (_of_source(path, sources) for path in kinds[kind])
            banded = kind in ("psf", "exposure_map", "image")
            draft.files[kind] = _commonest(_of_band(p) if banded else p for p in patterns)
    # Sources whose names are the same in all observations are those of one stack.
    shared = "{obsid" not in draft.files.get("aper", "")
    for obsid in dict.fromkeys(obsids):
        stack = re.sub(r"\W", "_", folder.resolve().name) if shared else obsid
        draft.observations.append({"obsid": obsid, "stack": stack})
    return draft


def _common(names: Sequence[str]) -> str:
    """The characters with which all names begin."""
    return "".join(a for a, *_ in takewhile(lambda same: len(set(same)) == 1, zip(*names)))


def _of_obsid(path: str, obsids: Sequence[str]) -> str:
    for obsid in sorted(set(obsids), key=len, reverse=True):
        if match := re.search(rf"(?<!\d)0*{re.escape(obsid)}(?!\d)", path):
            width = len(match[0])
            name = "{obsid}" if width == len(obsid) else f"{{obsid:0>{width}}}"
            return path[: match.start()] + name + path[match.end() :]
    return path


def _of_source(path: str, sources: Sequence[str]) -> str:
    for source in sorted(sources, key=len, reverse=True):
        literal = re.escape(_literal(source))
        path, n = re.subn(rf"(?<![^\W_]){literal}(?!\d)", "{source}", path, count=1)
        if n:
            break
    return path


def _of_band(path: str) -> str:
    return re.sub(rf"(?<![^\W_]){_BAND}(?=[_.\-][^/]*$)", "{band}", path, count=1)
