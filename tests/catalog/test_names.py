"""One rule for names: what can be one goes unchanged into every file, the rest is told why not."""

from __future__ import annotations

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from mpiapp.catalog.fault import InputError
from mpiapp.catalog.names import (
    LONGEST_NAME,
    check_name,
    comma_list,
    is_name,
    name_problem,
    target_problem,
)

texts = st.text(st.characters(max_codepoint=0x17F), max_size=60)
awkward = st.text(st.sampled_from(list("'\"&:. 1e-+%=,;(){}/")), min_size=1, max_size=LONGEST_NAME)


@given(texts | awkward)
def test_every_name_comes_back_from_a_fits_header(text):
    if not is_name(text):
        return
    header = fits.Header()
    header["STACKID"] = text
    card = header.tostring(endcard=False, padding=False)
    assert len(card) == 80
    assert fits.Header.fromstring(card)["STACKID"] == text


@given(st.lists(awkward.filter(is_name), min_size=3, max_size=3))
def test_a_target_is_made_of_one_list_of_names_only(names):
    assert "/".join(names).split("/") == names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("bündle", "is not printable ASCII"),
        ("r\x001", "is not printable ASCII"),
        ("\ud800", "is not printable ASCII"),
        (" r1", "has blanks at its ends"),
        ("a/b", "has a slash"),
        ("r" * (LONGEST_NAME + 1), "is longer than 48 characters"),
    ],
)
def test_what_cannot_be_a_name_is_told_why(name, reason):
    assert name_problem(name).startswith(reason)
    with pytest.raises(InputError, match=reason):
        check_name(name)


def test_names_that_fit_one_by_one_may_be_too_long_together():
    fitting = ("s" * 47, "o" * 40, "b" * 7)
    assert target_problem(*fitting) == ""
    assert "is longer than 96" in target_problem(*fitting[:2], "b" * 8)


def test_lists_between_commas_have_no_blanks_empty_places_or_repetitions():
    assert comma_list(" flux, cnts,,flux ,") == ["flux", "cnts"]
    assert comma_list("") == []
