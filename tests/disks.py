"""A disk that loses its power: the changes that a process makes, and what they can leave.

What `fsync` has not reached may be lost, in part or out of order, names in the folder included.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
_ALL_SUBSETS_OF = 4


class Change(NamedTuple):
    """One change of a disk.

    `kind` is write, truncate or sync of a file; create, link, rename, unlink or sync names of
    the folder; or told, after which at least `at` runs must be there.
    """

    kind: str
    file: int = 0
    at: int = 0
    data: bytes = b""
    name: str = ""
    to: str = ""


class Disk:
    """The content of one folder: names, and what the files hold."""

    def __init__(self, names: dict[str, int] | None = None, files: dict[int, bytes] | None = None):
        self.names = dict(names or {})
        self.files = {number: bytearray(content) for number, content in (files or {}).items()}

    def apply(self, change: Change) -> None:
        """Make a change, as far as what came before it leaves something to change."""
        if change.kind == "create":
            self.names[change.name] = change.file
            self.files.setdefault(change.file, bytearray())
        elif change.kind == "write":
            content = self.files.setdefault(change.file, bytearray())
            content.extend(bytes(max(0, change.at - len(content))))
            content[change.at : change.at + len(change.data)] = change.data
        elif change.kind == "truncate":
            content = self.files.setdefault(change.file, bytearray())
            content.extend(bytes(max(0, change.at - len(content))))
            del content[change.at :]
        elif change.kind == "unlink":
            self.names.pop(change.name, None)
        elif change.kind in ("link", "rename"):
            self.names[change.to] = change.file
            if change.kind == "rename":
                self.names.pop(change.name, None)

    def write_to(self, folder: Path) -> dict[int, int]:
        """Make the files in a folder; the number of each by its inode."""
        folder.mkdir(parents=True)
        first: dict[int, Path] = {}
        for name, number in self.names.items():
            path = folder / name
            if number in first:
                os.link(first[number], path)
            else:
                path.write_bytes(self.files[number])
                first[number] = path
        return {path.stat().st_ino: number for number, path in first.items()}

    def key(self) -> tuple:
        """What tells two states apart."""
        return tuple(sorted((name, n, bytes(self.files[n])) for name, n in self.names.items()))


@contextmanager
def recorded(monkeypatch, folder: Path, numbers: dict[int, int]) -> Iterator[list[Change]]:
    """The changes that this process makes to the files of a folder, which are really made.

    `numbers` are those of the files that are there, by inode; new ones get the next.
    """
    changes: list[Change] = []
    real = {name: getattr(os, name) for name in CHANGING}

    def number(path_or_fd) -> int:
        inode = os.stat(path_or_fd).st_ino
        return numbers.setdefault(inode, 1 + max(numbers.values(), default=0))

    def is_here(path) -> bool:
        return Path(path).parent == folder

    def open_(path, flags, *args, **kwargs):
        is_new = flags & os.O_CREAT and is_here(path) and not os.path.lexists(path)
        fd = real["open"](path, flags, *args, **kwargs)
        if is_new:
            changes.append(Change("create", number(fd), name=Path(path).name))
        return fd

    def pwrite(fd, data, at):
        n = real["pwrite"](fd, data, at)
        changes.append(Change("write", number(fd), at, bytes(data[:n])))
        return n

    def ftruncate(fd, size):
        real["ftruncate"](fd, size)
        changes.append(Change("truncate", number(fd), size))

    def fsync(fd):
        if os.path.samestat(os.stat(fd), os.stat(folder)):
            changes.append(Change("sync names"))
        else:
            changes.append(Change("sync", number(fd)))

    def moving(kind):
        def move(path, to):
            file = number(path)
            real[kind](path, to)
            changes.append(
                Change(
                    "link" if kind == "link" else "rename",
                    file,
                    name=Path(path).name,
                    to=Path(to).name,
                )
            )

        return move

    def unlink(path):
        last = os.stat(path)
        real["unlink"](path)
        changes.append(Change("unlink", name=Path(path).name))
        if last.st_nlink == 1:
            numbers.pop(last.st_ino, None)  # the system may use it again

    made = {"open": open_, "pwrite": pwrite, "ftruncate": ftruncate, "fsync": fsync}
    made |= {kind: moving(kind) for kind in ("link", "rename", "replace")} | {"unlink": unlink}
    with monkeypatch.context() as patch:
        for name in CHANGING:
            patch.setattr(os, name, made[name])
        patch.setattr(Path, "unlink", _unlink)
        yield changes


CHANGING = ("open", "pwrite", "ftruncate", "fsync", "link", "rename", "replace", "unlink")
_NAMES = ("create", "link", "rename", "unlink")
_CONTENT = ("write", "truncate")


def _unlink(path: Path, missing_ok: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def states(
    start: Disk, changes: list[Change], rng: random.Random, first: int = 0
) -> Iterator[tuple[Disk, int]]:
    """What a loss of power can leave after each change from number `first` on.

    With each the number of runs that must be there.  Of few unsynced changes every subset is
    tried, of many the prefixes, those but one, single ones and random ones, in order and
    reversed, the last one torn; of names any.
    """
    safe = Disk(start.names, start.files)  # what is on the disk for certain
    pending: list[Change] = []
    n_told = 0
    seen = set()
    for i, change in enumerate([Change(""), *changes]):
        if change.kind == "told":
            n_told = max(n_told, change.at)
        elif change.kind == "sync":
            pending = _settle(safe, pending, _CONTENT, change.file)
        elif change.kind == "sync names":
            pending = _settle(safe, pending, _NAMES)
        elif change.kind:
            pending.append(change)
        if i < first:
            continue
        names = [c for c in pending if c.kind in _NAMES]
        content = [c for c in pending if c.kind in _CONTENT]
        for kept_names in _subsets(names, rng):
            for kept in _orders(content, rng):
                disk = Disk(safe.names, safe.files)
                for c in (*kept_names, *kept):
                    disk.apply(c)
                if (key := (disk.key(), n_told)) not in seen:
                    seen.add(key)
                    yield disk, n_told


def _settle(safe: Disk, pending: list[Change], kinds: tuple[str, ...], file: int = 0):
    """Apply what has been synced, of one file or of all; what is still pending."""
    left = []
    for change in pending:
        if change.kind in kinds and change.file == (file or change.file):
            safe.apply(change)
        else:
            left.append(change)
    return left


def _subsets(changes: list[Change], rng: random.Random) -> Iterator[list[Change]]:
    n = len(changes)
    if n <= _ALL_SUBSETS_OF:
        for kept in itertools.product((False, True), repeat=n):
            yield list(itertools.compress(changes, kept))
        return
    for k in range(n + 1):
        yield changes[:k]
    for k in range(n):
        yield changes[:k] + changes[k + 1 :]
        yield [changes[k]]
        yield [c for c in changes if rng.random() < 0.5]


def _orders(changes: list[Change], rng: random.Random) -> Iterator[list[Change]]:
    for kept in _subsets(changes, rng):
        yield kept
        if len(kept) > 1:
            yield kept[::-1]
        if kept and len(kept[-1].data) > SECTOR:
            torn = rng.randrange(SECTOR, len(kept[-1].data), SECTOR)
            yield [*kept[:-1], kept[-1]._replace(data=kept[-1].data[:torn])]
            yield [*kept[:-1], kept[-1]._replace(data=kept[-1].data[torn:], at=kept[-1].at + torn)]
