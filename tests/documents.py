"""What README and docs show: fenced blocks, shell commands and code in running text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]

_BLOCK = re.compile(r"^( *)```([a-z-]+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


class Block(NamedTuple):
    """A fenced block: where it stands, its language and its text."""

    where: str
    language: str
    text: str


def page_blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in their order."""
    text = page.read_text()
    return [
        Block(f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}", match[2], match[3])
        for match in _BLOCK.finditer(text)
    ]


def blocks(language: str, pages=PAGES) -> list[Block]:
    """All fenced blocks of one language."""
    return [b for page in pages for b in page_blocks(page) if b.language == language]


def commands(block: Block) -> list[list[str]]:
    """The words of each command line of a shell block, comments left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def code_spans() -> list[tuple[str, str]]:
    """(page, text) of all code in running text."""
    found = []
    for page in PAGES:
        prose = _BLOCK.sub("", page.read_text())
        found += [(page.name, " ".join(span.split())) for span in _SPAN.findall(prose)]
    return found


def first_run() -> list[list[str]]:
    """The commands of README's first run, which imports and measures the shipped example."""
    text = (ROOT / "README.md").read_text()
    text = text[text.index("<!-- first-run -->") : text.index("<!-- /first-run -->")]
    match = next(m for m in _BLOCK.finditer(text) if m[2] == "shell")
    return commands(Block("README.md, first run", "shell", match[3]))
