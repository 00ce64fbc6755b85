"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A new file beside `path` to be written inside, which then takes its name in one step.

    If that fails, nothing of it is left.  Raises OSError that names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say by itself which file it was.
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
