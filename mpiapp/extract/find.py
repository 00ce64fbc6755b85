"""A field from what a user names: a folder of products, or a field file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..catalog.fault import InputError
from .field import Field
from .field_file import read_field_file, read_field_text
from .products import find_products, scan
from .suggest import draft_field


def find_field(path: str, bands: Sequence[str] = ()) -> Field:
    """The field of a folder or a field file; InputError if there is none.

    bands : instead of those of the field file
    """
    if not Path(path).exists():
        raise InputError(f"{path}: is not there; name a folder of products or a field file")
    field = _of_folder(path) if Path(path).is_dir() else read_field_file(path)
    for band in bands:
        if band not in (known := field.settings.energies):
            raise InputError(f"band {band!r}, expected one of {', '.join(known)}")
    settings = replace(field.settings, bands=tuple(bands)) if bands else field.settings
    return replace(field, settings=settings)


def _of_folder(path: str) -> Field:
    """The field of a folder: catalog products, or else files that a field file would find."""
    observations, _ = scan(path)
    if any(found.regions for found in observations.values()):
        return find_products(path)
    draft = draft_field(path)
    if draft.lacking:
        raise InputError(
            f"{path}: no {', '.join(draft.lacking)} by the names of catalog products "
            "(acisf01575_001N021_r0115b_psf3.fits.gz and the like) or of srcflux; write a field "
            f"file and complete it: mpiapp init --from {path}"
        )
    return read_field_text(draft.text(), Path(path), Path(path))
