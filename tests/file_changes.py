"""What happens to files, stopped at any of its steps."""

from __future__ import annotations


def at_change(monkeypatch, changes, last: int, act) -> list[str]:
    """Have `act` called before change number `last` that is made to files; returns all changes.

    changes : (owner, name) of the functions that change files
    """
    made: list[str] = []

    def hooked(name, call):
        def hook(*args, **kwargs):
            made.append(name)
            if len(made) == last:
                act()
            return call(*args, **kwargs)

        return hook

    for owner, name in changes:
        monkeypatch.setattr(owner, name, hooked(name, getattr(owner, name)))
    return made
