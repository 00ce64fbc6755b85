"""The tutorials, run as they are shown: every command, every line of Python, every output.

`python tests/tutorials.py [PAGE …]` runs them and puts their pictures beside the pages.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from documents import ROOT, Block, commands, page_blocks
from jobs import mpiapp, mpiexec

PAGES = [
    ROOT / "docs" / "index.md",
    *(page for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")) if page.stem != "index"),
]
LEFT_OUT = {"sbatch", "pip"}  # what only a cluster has, and what the tests have done already


def run(page: Path, folder: Path) -> None:
    """Do what a page shows in a folder with `config`, and compare with the output that it shows.

    A block of text after commands or Python is what they print; "…" stands for any text in a
    line, or alone for any lines.
    """
    shutil.copytree(ROOT / "config", folder / "config")
    before, names, printed = os.getcwd(), {}, None
    os.chdir(folder)
    try:
        for block in page_blocks(page):
            if block.language == "shell":
                printed = "".join(_run_command(words) for words in commands(block))
            elif block.language == "python":
                with redirect_stdout(io.StringIO()) as out:
                    exec(compile(block.text, block.where, "exec"), names)
                printed = out.getvalue()
            elif block.language == "text" and printed is not None:
                _compare(block, printed)
                printed = None
    finally:
        os.chdir(before)


def pictures(page: Path) -> list[str]:
    """The pictures that a page shows, all of which it draws."""
    return re.findall(r"\]\(([\w-]+\.png)\)", page.read_text())


def _run_command(words: list[str]) -> str:
    if words[0] in LEFT_OUT:
        return ""
    words, path = (words[:-2], words[-1]) if ">" in words else (words, None)
    arguments = words[words.index("mpiapp") + 1 :]
    ranks = int(words[2]) if words[0] == "mpiexec" and mpiexec() else 0
    done = mpiapp(*arguments, ranks=ranks)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    if path:
        Path(path).write_text(done.stdout)
    return "" if path else done.stdout


def _compare(shown: Block, printed: str) -> None:
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + " *\n"
        for line in shown.text.splitlines()
    )
    assert re.fullmatch(pattern, printed.rstrip("\n") + "\n"), (
        f"{shown.where}: shown is\n{shown.text}\nprinted was\n{printed}"
    )


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib import rcParams

    from mpiapp.report.figures import STYLE

    rcParams.update(STYLE)
    chosen = [Path(name).resolve() for name in sys.argv[1:]]
    for page in chosen or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            run(page, Path(folder))
            for picture in pictures(page):
                shutil.copy(Path(folder) / picture, page.parent / picture)
                print(page.parent / picture)
