"""Assembly at the three levels, against every matrix that the memo prints (section 2.2)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpiapp.catalog.assemble import arrange, merge_labels
from mpiapp.catalog.assemble import assemble as assemble_all
from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.fault import InputError
from mpiapp.catalog.priors import prior_bounds
from mpiapp.catalog.quantities import Matrix

MATRIX = Matrix("b", "aper", "photflux")


def bundle(components, stack="S1", obsid="O1", name="B1", instrument="ACIS", start=1.0):
    """A bundle whose F entries are all different, so that each can be found again."""
    n = len(components) + 1
    F = start + np.arange(n * n, dtype=float).reshape(n, n)
    counts = (1000 * start + np.arange(n)).astype(np.int64)
    key = ObsidBundle(stack, obsid, name)
    return Bundle(key, instrument, tuple(components), {MATRIX[:2]: counts}, {MATRIX: F})


def assemble(bundles, matrix, label=None, reported=None):
    """The problem of some bundles, assembled beside another one of other numbers."""
    names = tuple(
        tuple(c if label is None else label(b.key.stack, c) for c in b.components) for b in bundles
    )
    reported = tuple(merge_labels(names)) if reported is None else reported
    arrangement, sources = arrange(names, reported)
    counts = [b.counts[matrix[:2]] for b in bundles]
    F = [b.F[matrix] for b in bundles]
    instruments = [b.instrument for b in bundles]
    upper = prior_bounds([matrix.quantity], instruments, arrangement.n_sources)
    problems = assemble_all(
        [np.stack([c + 1, c]) for c in counts],
        [np.stack([2.0 * f, f]) for f in F],
        np.repeat(upper, 2, axis=0),
        arrangement,
        [sources] * 2,
        [tuple(str(b.key) for b in bundles)] * 2,
    )
    return problems[1]


def place(bundles, columns):
    """F^a written out block by block: `columns` are the source columns of each bundle."""
    n_sources = 1 + max(max(c) for c in columns)
    rows = []
    for k, (b, where) in enumerate(zip(bundles, columns)):
        F = b.F[MATRIX]
        block = np.zeros((len(F), n_sources + len(bundles)))
        block[:, where] = F[:, :-1]
        block[:, n_sources + k] = F[:, -1]
        rows.append(block)
    return np.vstack(rows)


def test_one_obsid_is_used_as_it_is():
    b = bundle(["r1", "r2"])
    p = assemble([b], MATRIX)
    np.testing.assert_array_equal(p.F, b.F[MATRIX])
    np.testing.assert_array_equal(p.counts, b.counts[MATRIX[:2]])
    assert p.sources == ("r1", "r2")
    assert p.backgrounds == ("S1/O1/B1",)


def test_two_obsids_share_sources_and_keep_their_backgrounds_apart():
    """Eq. 2."""
    one = bundle(["r1", "r2"], obsid="O1", start=1)
    two = bundle(["r1", "r2"], obsid="O2", start=100)
    p = assemble([one, two], MATRIX)
    (f11, f12, w1), (f21, f22, w2), (g1, g2, wb) = one.F[MATRIX]
    (h11, h12, v1), (h21, h22, v2), (k1, k2, vb) = two.F[MATRIX]
    np.testing.assert_array_equal(
        p.F,
        [
            [f11, f12, w1, 0],
            [f21, f22, w2, 0],
            [g1, g2, wb, 0],
            [h11, h12, 0, v1],
            [h21, h22, 0, v2],
            [k1, k2, 0, vb],
        ],
    )
    np.testing.assert_array_equal(p.counts, [1000, 1001, 1002, 100000, 100001, 100002])


def test_a_source_outside_one_obsid_has_zeros_there_and_no_row():
    """Eq. 3: source 1 is missing in obsid 1."""
    one = bundle(["r2"], obsid="O1", start=1)
    two = bundle(["r1", "r2"], obsid="O2", start=100)
    p = assemble([one, two], MATRIX)
    assert p.sources == ("r1", "r2")
    (f22, w2), (g2, wb) = one.F[MATRIX]
    (h11, h12, v1), (h21, h22, v2), (k1, k2, vb) = two.F[MATRIX]
    np.testing.assert_array_equal(
        p.F,
        [
            [0, f22, w2, 0],
            [0, g2, wb, 0],
            [h11, h12, 0, v1],
            [h21, h22, 0, v2],
            [k1, k2, 0, vb],
        ],
    )
    np.testing.assert_array_equal(p.counts, [1000, 1001, 100000, 100001, 100002])


@pytest.mark.parametrize(("m1", "column"), [("r1", 0), ("r2", 1)], ids=["eq5", "eq6"])
def test_stacks_of_a_master_source_share_its_column(m1, column):
    """Eqs. 5 and 6: r3 of the second stack is r1, or r2, of the first; C as in Eq. 7."""
    one = bundle(["r1", "r2"], "S1", "O1", start=1)
    two = bundle(["r3"], "S2", "O2", start=100)
    other = {"r1": "r2", "r2": "r1"}[m1]
    names = {("S1", m1): "M1", ("S1", other): "M2", ("S2", "r3"): "M1"}
    p = assemble([one, two], MATRIX, label=lambda stack, c: names[stack, c])
    assert p.sources[column] == "M1"
    np.testing.assert_array_equal(p.F, place([one, two], [[0, 1], [column]]))
    np.testing.assert_array_equal(p.counts, [1000, 1001, 1002, 100000, 100001])


def test_hrc_background_of_energy_flux_has_its_own_prior():
    """Table 1."""
    key = Matrix("w", "aper", "flux")
    for instrument, background in (("HRC", 1e-13), ("ACIS", 1e-12)):
        b = bundle(["r1"], instrument=instrument)
        b = Bundle(b.key, instrument, b.components, {key[:2]: np.array([1, 2])}, {key: np.eye(2)})
        np.testing.assert_array_equal(assemble([b], key).upper, [1e-8, background])


def test_a_result_that_no_obsid_has_gets_a_column_of_zeros():
    seen = bundle(["r2"], start=1e4)
    p = assemble([seen], MATRIX, reported=("r1", "r2"))
    assert p.sources == ("r2", "r1") and p.wanted == [0, 1]
    assert p.unseen_sources() == ("r1",)
    np.testing.assert_array_equal(p.F[:, [0, 2]], seen.F[MATRIX])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["colour"], ["ACIS"], 1), "quantity 'colour': expected one of"),
        ((["flux"], ["acis"], 1), "instrument 'acis' is ACIS in capitals"),
        ((["flux"], ["ACIS"], 1, {"sauce": 1.0}), "prior_upper: unknown key 'sauce'"),
    ],
)
def test_priors_of_what_there_is_not_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        prior_bounds(*arguments)


def test_merged_labels_keep_the_order_of_each_sequence():
    assert merge_labels([["b"], ["a", "b", "c"]]) == ["a", "b", "c"]
    assert merge_labels([["a", "c"], ["a", "b", "c"]]) == ["a", "b", "c"]


some_components = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(some_components, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_every_entry_lands_once_whatever_the_order_of_obsids(fields, random):
    bundles = [
        bundle(components, obsid=f"O{k}", start=10_000.0 * (k + 1))
        for k, components in enumerate(fields)
    ]
    p = assemble(bundles, MATRIX)
    entries = np.sort(np.concatenate([b.F[MATRIX].ravel() for b in bundles]))
    np.testing.assert_array_equal(np.sort(p.F[p.F != 0]), entries)
    assert len(p.F) == len(p.counts) == len(p.row_obsid) == sum(len(f) + 1 for f in fields)

    shuffled = bundles[:]
    random.shuffle(shuffled)
    q = assemble(shuffled, MATRIX)
    assert set(q.sources) == set(p.sources)
    columns = [q.labels.index(label) for label in p.labels]
    by_rows = {tuple(row): c for row, c in zip(q.F[:, columns].tolist(), q.counts)}
    assert by_rows == {tuple(row): c for row, c in zip(p.F.tolist(), p.counts)}
