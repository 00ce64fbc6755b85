"""The stream of parcels, over an executor whose workers answer when the test says so."""

from __future__ import annotations

import contextlib
from concurrent.futures import Executor, Future

import pytest

from mpiapp.parallel import dispatch
from mpiapp.parallel.dispatch import Late, stream
from mpiapp.parallel.world import SerialExecutor


class HandExecutor(Executor):
    """Keeps what is submitted; of `busy` calls the workers have begun already."""

    def __init__(self, busy=99):
        self.busy, self.calls = busy, {}

    def submit(self, function, /, payload):
        future = self.calls[payload] = Future()
        if len(self.calls) <= self.busy:
            future.set_running_or_notify_cancel()
        return future

    def answer(self, *payloads):
        for payload in payloads:
            self.calls[payload].set_result(f"result of {payload}")


class HandControl:
    """Does what the test has set; `turns` are called one after another, once a wait."""

    def __init__(self, *turns):
        self.turns, self.stop, self.give_up = list(turns), False, False
        self.losses, self.asked_for = {}, {}

    def stopping(self):
        return self.stop

    @contextlib.contextmanager
    def idle(self):
        if self.turns:
            self.turns.pop(0)()
        yield

    def giving_up(self, under_way):
        return self.give_up

    def received(self, answer):
        return answer, self.asked_for.pop(answer, [])

    def late(self, under_way):
        found = [
            Late(future, *self.losses.pop(payload))
            for future, payload in under_way.items()
            if payload in self.losses
        ]
        return found


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(dispatch, "TICK_SECONDS", 0.001)


def test_results_come_in_order_of_completion_and_no_more_is_made_than_fits():
    executor, made = HandExecutor(), []
    payloads = (made.append(name) or name for name in "abcde")
    control = HandControl(lambda: executor.answer("b"), lambda: executor.answer("c", "a"))
    results = stream(executor, str, payloads, 2, control)
    assert next(results) == "result of b" and made == ["a", "b"]
    assert {next(results), next(results)} == {"result of a", "result of c"}
    assert made == ["a", "b", "c"]
    control.turns = [lambda: executor.answer("d", "e")]
    assert sorted(results) == ["result of d", "result of e"] and made == list("abcde")


def test_a_job_that_stops_takes_back_what_nobody_has_begun_and_waits_for_the_rest():
    executor = HandExecutor(busy=1)

    def stop():
        control.stop = True

    control = HandControl(stop, lambda: executor.answer("a"))
    assert list(stream(executor, str, "abcd", 2, control)) == ["result of a"]
    assert list(executor.calls) == ["a", "b"] and executor.calls["b"].cancelled()


def test_a_job_out_of_patience_waits_for_nothing():
    executor = HandExecutor()

    def give_up():
        control.stop = control.give_up = True

    control = HandControl(give_up)
    assert list(stream(executor, str, "ab", 2, control)) == []


def test_what_an_answer_asks_for_goes_first():
    executor = HandExecutor()
    control = HandControl(
        lambda: executor.answer("a"),
        lambda: executor.answer("rest of a"),
        lambda: executor.answer("b"),
        lambda: executor.answer("c"),
    )
    control.asked_for["result of a"] = ["rest of a"]
    list(stream(executor, str, "abc", 1, control))
    assert list(executor.calls) == ["a", "rest of a", "b", "c"]


def test_what_is_left_of_a_late_payload_goes_first_and_its_late_answer_is_not_taken():
    executor = HandExecutor()

    def lose():
        control.losses["a"] = "given up", ["rest of a"]

    late = [lambda: executor.answer("b", "rest of a", "a"), lambda: executor.answer("c")]
    control = HandControl(lose, *late)
    found = list(stream(executor, str, "abc", 2, control))
    assert sorted(found) == ["given up", "result of b", "result of c", "result of rest of a"]
    assert list(executor.calls) == ["a", "b", "rest of a", "c"]


def test_an_exception_of_a_call_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(stream(SerialExecutor(), lambda x: 1 // x, [1, 0], 1, HandControl()))
