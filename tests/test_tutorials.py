"""Every tutorial does what it shows, and prints what it shows."""

import pytest
import tutorials

QUICK = ("index", "fluxes")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[] if page.stem in QUICK else pytest.mark.slow)
        for page in tutorials.PAGES
    ],
)
def test_a_tutorial_does_what_it_shows(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    tutorials.run(page, tmp_path)
    for picture in tutorials.pictures(page):
        assert (page.parent / picture).exists(), f"{page.name}: {picture} is not in docs"
        assert (tmp_path / picture).exists(), f"{page.name}: {picture} is not drawn"
