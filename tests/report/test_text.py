"""How numbers and times are said."""

import pytest
from astropy.table import Table

from mpiapp.report.text import duration, lay_out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (0.0181, "18.1 ms"), (0.5, "0.5 s"),
     (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"),
     (7200.0, "2 h"), (100_000.0, "27.8 h"), (2e5, "2.31 days")],
)  # fmt: skip
def test_a_time_is_said_in_the_unit_that_people_would_use(seconds, said):
    assert duration(seconds) == said


def test_what_controls_a_terminal_is_escaped_in_a_table():
    assert "a\\x1b[2Jb\nä…" in lay_out(Table({"name": ["a\x1b[2Jb", "ä…"]}))
