"""The ladder of sections 6 and 7, each branch on a scripted engine."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_engines import ScriptedEngine

from mpiapp.catalog.outcome import Flag, Outcome, worst
from mpiapp.catalog.problem import Problem
from mpiapp.engines import Draws, SamplingError, create
from mpiapp.photometry.ladder import Ladder, Policy


def problem(n_obsids=1, n_sources=1):
    """Every obsid sees every source: a row for each of them and one for the background."""
    rows = n_sources + 1
    F = np.zeros((n_obsids * rows, n_sources + n_obsids))
    for k in range(n_obsids):
        F[k * rows : k * rows + n_sources, :n_sources] = np.eye(n_sources)
        F[k * rows : (k + 1) * rows, n_sources + k] = 10.0
        F[(k + 1) * rows - 1, n_sources + k] = 100.0
    return Problem(
        counts=np.full(len(F), 20),
        F=F,
        upper=np.full(F.shape[1], 1000.0),
        sources=tuple(f"s{i}" for i in range(n_sources)),
        backgrounds=tuple(f"O{k}" for k in range(n_obsids)),
        row_obsid=np.repeat(np.arange(n_obsids), rows),
        offset=np.zeros(len(F)),
    )


def draws(at=100.0, width=5.0, rhat=1.0, ess=1000.0, limited=False, **where):
    """An answer: Gaussian draws about `at`, or about where[label] for a labelled column."""

    def answer(p):
        rng = np.random.default_rng(1)
        centres = [where.get(label, at) for label in p.labels]
        values = np.abs(rng.normal(centres, width, (2, 500, p.n_columns)))
        n = p.n_columns
        return Draws(values, np.full(n, rhat), np.full(n, ess), method="scripted", limited=limited)

    return answer


def climb(script, p=None, quantity="cnts", report=None, **policy):
    p = p or problem()
    engine = ScriptedEngine(script)
    run = Ladder(replace(p, reported=report), engine, Policy(**policy), 5, quantity).measure()
    assert not engine.script, "the ladder ended before its script"
    return run, engine


def results(run):
    """What became of every reported source."""
    found = []
    for source, numbers in zip(run.sources, run.numbers):
        values = dict(zip(numbers.dtype.names, numbers.item())) | {"source": source}
        values |= {"outcome": Outcome(values["outcome"]), "flags": Flag(values["flags"])}
        found.append(SimpleNamespace(**values))
    return found


def uppers(engine):
    return [dict(zip(p.labels, p.upper)) for p, _, _ in engine.calls]


def test_a_good_run_is_measured_at_once():
    run, _ = climb([draws()])
    (p,) = results(run)
    assert p.outcome is Outcome.MEASURED
    assert p.flags == Flag(0)
    assert p.lolim < p.value == p.mode < p.hilim
    assert [a.ended for a in run.attempts] == ["done"]


def test_a_pegged_prior_is_raised_tenfold_for_the_offending_parameter_only():
    """Recommendation 5: mode + 3/2 (hilim - lolim) > P_upper, Eq. 11."""
    run, engine = climb([draws(s0=990.0), draws(s0=990.0)])
    assert uppers(engine) == [{"s0": 1000, "O0": 1000}, {"s0": 10_000, "O0": 1000}]
    assert results(run)[0].outcome is Outcome.MEASURED
    assert results(run)[0].flags == Flag.PRIOR_RAISED
    assert run.attempts[0].ended == "pegged: s0"


def test_eq_11_is_the_threshold():
    width = 5.0
    # a Gaussian's smoothed interval is 2 × 0.994 × √1.2 σ, so Eq. 11 reaches 3.27 σ above the mode
    for at, attempts in ((1000 - 3.6 * width, 1), (1000 - 2.9 * width, 2)):
        run, _ = climb([draws(s0=at, width=width)] * attempts)
        assert len(run.attempts) == attempts


def test_a_pegged_background_is_raised_too():
    run, engine = climb([draws(O0=995.0), draws(O0=995.0)])
    assert uppers(engine)[1] == {"s0": 1000, "O0": 10_000}
    assert results(run)[0].flags == Flag.PRIOR_RAISED


def test_still_pegged_in_a_single_obsid_is_null_and_noted():
    run, _ = climb([draws(s0=999.0), draws(s0=9999.0)])
    (p,) = results(run)
    assert p.outcome is Outcome.NULL_PEGGED
    assert p.flags == Flag.PRIOR_RAISED
    assert np.isnan([p.value, p.lolim, p.hilim, p.mode]).all()
    assert run.error is None


def test_two_parameters_peg_one_after_the_other():
    run, engine = climb([draws(s0=999.0), draws(O0=999.0), draws()])
    assert uppers(engine)[2] == {"s0": 10_000, "O0": 10_000}
    assert results(run)[0].outcome is Outcome.MEASURED


def test_the_obsid_of_a_background_that_stays_pegged_is_excluded():
    run, engine = climb([draws(O1=999.0), draws(O1=9999.0), draws()], problem(3))
    assert engine.calls[2][0].backgrounds == ("O0", "O2")
    assert uppers(engine)[2] == {"s0": 1000, "O0": 1000, "O2": 1000}
    assert results(run)[0].flags == Flag.OBSID_EXCLUDED
    assert run.excluded == ("O1",)
    assert run.attempts[2].changes == "without O1"


def test_a_source_that_stays_pegged_costs_the_obsid_where_it_is_brightest():
    p = problem(3)
    p.counts[2 * 2] = 500  # row of s0 in O2
    run, _ = climb([draws(s0=999.0), draws(s0=9999.0), draws()], p)
    assert run.excluded == ("O2",)


def test_exclusion_goes_on_until_one_obsid_is_left():
    pegged = [draws(s0=999.0), draws(s0=9999.0)]
    run, engine = climb(pegged * 3, problem(3))
    assert results(run)[0].outcome is Outcome.NULL_PEGGED
    assert len(run.excluded) == 2
    assert [c[0].n_obsids for c in engine.calls] == [3, 3, 2, 2, 1, 1]


def test_a_source_seen_only_by_the_excluded_obsid_becomes_null():
    p = problem(2, n_sources=2)
    p.F[0:3, 1] = 0  # O0 does not see s1
    run, _ = climb([draws(O1=999.0), draws(O1=9999.0), draws()], p)
    assert [q.outcome for q in results(run)] == [Outcome.MEASURED, Outcome.NULL_PEGGED]


def test_a_failure_is_rerun_with_frozen_backgrounds():
    """Recommendation 7."""
    run, engine = climb([SamplingError("no"), draws()])
    assert engine.calls[1][0].backgrounds == ()
    # Listing 5: B = 20 over Ω_b = 100, seen through Ω = 10 in the source aperture
    np.testing.assert_allclose(engine.calls[1][0].offset, [2.0, 20.0])
    assert results(run)[0].outcome is Outcome.MEASURED
    assert results(run)[0].flags == Flag.BACKGROUND_FROZEN
    assert run.attempts[0].ended == "failed: SamplingError: no"


def test_then_with_background_priors_reduced_tenfold():
    run, engine = climb([SamplingError("no"), SamplingError("no"), draws(O0=10.0)])
    assert uppers(engine)[2] == {"s0": 1000, "O0": 100}
    assert results(run)[0].flags == Flag.BACKGROUND_PRIOR_REDUCED


def test_then_it_is_null_with_the_traceback():
    run, _ = climb([ValueError("first"), SamplingError("second"), RuntimeError("third")])
    (p,) = results(run)
    assert p.outcome is Outcome.NULL_FAILED
    assert isinstance(run.error, RuntimeError)
    assert "third" in run.traceback


def test_the_time_of_an_attempt_that_fails_is_counted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def fail(p):
        now[0] += 7.0
        raise SamplingError("no")

    run, _ = climb([fail, draws()])
    assert run.seconds["sample"] == run.attempts[0].seconds == 7.0


@pytest.mark.parametrize("spoil", [np.nan, np.inf, "constant"])
def test_useless_draws_count_as_a_failure(spoil):
    def answer(p):
        d = draws()(p)
        d.values[:, :, 0] = 1.0 if spoil == "constant" else spoil
        return d

    run, _ = climb([answer, draws()])
    assert results(run)[0].flags == Flag.BACKGROUND_FROZEN


def test_an_unconverged_run_is_tuned_twice_as_long_once_then_flagged():
    run, engine = climb([draws(rhat=1.2), draws(rhat=1.2)])
    assert [c[2] for c in engine.calls] == [1, 2]
    assert results(run)[0].outcome is Outcome.MEASURED
    assert results(run)[0].flags == Flag.RETUNED | Flag.UNCONVERGED
    run, _ = climb([draws(rhat=1.2), draws()])
    assert results(run)[0].flags == Flag.RETUNED


def test_nan_rhat_is_not_converged():
    run, _ = climb([draws(rhat=np.nan), draws(rhat=np.nan)])
    assert Flag.UNCONVERGED in results(run)[0].flags


def test_few_effective_draws_are_flagged():
    assert results(climb([draws(ess=50)])[0])[0].flags == Flag.LOW_ESS
    assert results(climb([draws(limited=True)])[0])[0].flags == Flag.LOW_ESS


def test_energy_fluxes_below_the_floor_are_null_each_by_itself():
    """Recommendation 8, for results that are not upper limits."""
    low = draws(at=4e-18, width=1e-19)
    (p,) = results(climb([low], quantity="flux")[0])
    assert p.outcome is Outcome.NULL_ENERGY_FLOOR
    assert np.isnan([p.value, p.lolim, p.hilim]).all()
    assert p.mode == pytest.approx(4e-18, rel=0.01)
    straddling = draws(at=6e-18, width=1.5e-18)
    (p,) = results(climb([straddling], quantity="flux")[0])
    assert p.outcome is Outcome.MEASURED
    assert p.value > 5e-18
    assert np.isnan(p.lolim)
    (p,) = results(climb([low], quantity="flux", energy_floor=1e-18)[0])
    assert p.outcome is Outcome.MEASURED
    (p,) = results(climb([low], quantity="photflux")[0])
    assert p.outcome is Outcome.MEASURED


def test_upper_limits_are_exempt_from_the_energy_floor():
    (p,) = results(climb([draws(at=0.0, width=1e-18)], quantity="flux")[0])
    assert p.outcome is Outcome.UPPER_LIMIT
    assert (p.value, p.lolim) == (0, 0)
    assert 0 < p.hilim < 5e-18


@pytest.mark.parametrize("f", [0.0, 9e-8])
def test_a_source_that_no_aperture_sees_is_null_and_its_neighbour_is_measured(f):
    """A flat posterior always meets Eq. 11: as a column it would make the whole bundle NULL."""
    for n_obsids in (1, 2):
        p = problem(n_obsids, n_sources=2)
        p.F[:, 1] = 0
        p.F[1, 1] = f
        run, engine = climb([draws()], p)
        assert [q.outcome for q in results(run)] == [Outcome.MEASURED, Outcome.NULL_UNSEEN]
        assert [q.flags for q in results(run)] == [Flag(0), Flag(0)]
        assert engine.calls[0][0].sources == ("s0",)
        assert run.excluded == ()


def test_a_problem_without_any_source_seen_is_not_sampled():
    p = problem(1)
    p.F[:, 0] = 0
    run, _ = climb([], p)
    assert [q.outcome for q in results(run)] == [Outcome.NULL_UNSEEN]
    assert run.attempts == []


def test_a_source_without_a_column_is_unseen_and_its_neighbours_are_not_sampled():
    """A master source that none of a block's obsids sees, beside neighbours that they see."""
    engine = ScriptedEngine([])
    p = problem(1, n_sources=2)
    p.F[:, 1] = 0
    p = replace(p, sources=("s0", "M"), reported=("M",))
    run = Ladder(p, engine, Policy(), 5, "cnts").measure()
    assert [(q.source, q.outcome) for q in results(run)] == [("M", Outcome.NULL_UNSEEN)]
    assert engine.calls == run.attempts == []


def test_an_unseen_source_leaves_the_others_as_if_it_were_not_there():
    """Its column is zero, so the posterior of the others is the same: exactly, from one seed."""
    alone = problem(2, n_sources=1)
    pair = problem(2, n_sources=2)
    pair.F[:, 1] = 0
    keep = np.array([0, 2, 3, 5])  # without the rows of the second source
    pair = replace(pair, counts=pair.counts[keep], F=pair.F[keep], row_obsid=pair.row_obsid[keep],
                   offset=pair.offset[keep])  # fmt: skip
    engine = create("gibbs")
    one, two = (
        Ladder(replace(p, reported=("s0",)), engine, Policy(), 5, "cnts").measure().numbers
        for p in (alone, pair)
    )
    assert one.tobytes() == two.tobytes()


def test_a_run_whose_seen_source_fails_beside_an_unseen_one_has_failed():
    p = problem(1, n_sources=2)
    p.F[:, 1] = 0
    run, _ = climb([SamplingError("no")] * 3, p)
    outcomes = [q.outcome for q in results(run)]
    assert outcomes == [Outcome.NULL_FAILED, Outcome.NULL_UNSEEN]
    assert run.outcome is Outcome.NULL_FAILED


@pytest.mark.parametrize("unplanned", [o for o in Outcome if not o.is_planned])
@pytest.mark.parametrize("planned", [o for o in Outcome if o.is_planned])
def test_no_planned_outcome_is_worse_than_one_that_was_not_planned(planned, unplanned):
    rows = np.array([planned, unplanned, unplanned, planned], "i2")
    assert worst(rows.reshape(2, 2)).tolist() == [unplanned, unplanned]
    assert worst(rows, np.array([0, 3])).tolist() == [unplanned, planned]


def test_retries_draw_from_their_own_streams_and_repeat():
    script = [SamplingError("no"), draws(rhat=1.5), draws()]
    streams = [
        [tuple(seed.generate_state(4)) for _, seed, _ in climb(script)[1].calls] for _ in range(2)
    ]
    assert streams[0] == streams[1]
    assert len(set(streams[0])) == 3


def test_only_the_reported_sources_are_results():
    run, _ = climb([draws()], problem(1, n_sources=3), report=("s1",))
    assert [p.source for p in results(run)] == ["s1"]
