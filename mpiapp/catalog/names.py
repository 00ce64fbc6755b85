"""Names of stacks, obsids, bundles, components and master sources: the one rule for all of them.

A name goes unchanged from a table into headers and columns of FITS files, into targets such as
`stack/obsid/bundle`, whose parts are told apart by their slashes, and into columns of fixed
width of the results.  What cannot go all this way is refused where it comes in.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .fault import InputError

# A FITS header holds a text of this length on one card, whatever its characters.
LONGEST_NAME = 48
LONGEST_TARGET = 96


@lru_cache(maxsize=1 << 16)
def name_problem(name: str) -> str:
    """Why this cannot be a name, as the end of a sentence; empty if it can."""
    if not name:
        return "is empty"
    if not (name.isascii() and name.isprintable()):
        return "is not printable ASCII"
    if name.strip(" ") != name:
        return "has blanks at its ends"
    if "/" in name:
        return "has a slash, which separates the names in a target"
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    return ""


def is_name(name: str) -> bool:
    """Whether this can be a name."""
    return not name_problem(name)


def check_name(name: str) -> str:
    """`name` itself; InputError unless it can be a name."""
    if problem := name_problem(name):
        raise InputError(f"the name {name!r} {problem}; rename it")
    return name


def target_problem(stack: str, obsid: str, bundle: str) -> str:
    """Why these names cannot stand together in a target; empty if they can."""
    target = "/".join((stack, obsid, bundle))
    if len(target) > LONGEST_TARGET:
        return f"the target {target} is longer than {LONGEST_TARGET} characters; shorten its names"
    return ""


def comma_list(text: str) -> list[str]:
    """What a text lists between commas: without blanks around, empty places and repetitions."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def natural(word: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts 2 before 10."""
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", word) if p)
