"""Engines for tests: quick, scripted, or broken on purpose."""

from __future__ import annotations

import contextlib
import itertools
import os
import pydoc
import resource
import signal
import sys
import time

import numpy as np

from mpiapp.engines import Draws, SamplingError, create


class GammaEngine:
    """Independent Gamma draws about the least-squares solution: quick, not the posterior."""

    name = "gamma"
    typical_seconds = 1e-3
    compiles_per_rank = False

    def warm(self):
        """Nothing to compile."""

    def __init__(self, chains=2, draws=1000):
        self.shape = (chains, draws)

    def sample(self, problem, seed, *, tune_factor=1):
        rng = np.random.default_rng(seed)
        theta = np.clip(problem.maximum_likelihood()[0], 1e-3 * problem.upper, 0.3 * problem.upper)
        values = rng.gamma(25.0, theta / 25.0, (*self.shape, problem.n_columns))
        n = problem.n_columns
        return Draws(np.minimum(values, problem.upper), np.ones(n), np.full(n, 1000.0), method="t")


class OneByOneEngine:
    """The engine `exact` without its way of doing many problems at a time."""

    name = "exact"
    compiles_per_rank = False

    def __init__(self):
        self.exact = create("exact")
        self.typical_seconds = self.exact.typical_seconds
        self.sample, self.warm = self.exact.sample, self.exact.warm


class FulldiskEngine(GammaEngine):
    """Leaves room for no file of more than so many bytes, on any rank."""

    def __init__(self, room):
        super().__init__()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


class LoggedEngine(GammaEngine):
    """Writes a line for every run into a file that outlives it, and takes its time.

    The first run that finds no `stuck` file makes it and lasts for ever, on any rank that tries
    it: in steps of Python, or `in_c`, inside one call that nothing interrupts.
    """

    def __init__(self, log, seconds=0.0, stuck="", in_c=False):
        super().__init__()
        self.log = log
        self.seconds = seconds
        self.stuck = stuck
        self.in_c = in_c

    def sample(self, problem, seed, *, tune_factor=1):
        with open(self.log, "a") as file:
            file.write(f"{seed.entropy[0]}\n")
        time.sleep(self.seconds)
        while self.stuck and self._is_stuck(f"{seed.entropy[0]}"):
            sum(itertools.repeat(1, 10**13 if self.in_c else 10**3))
        return super().sample(problem, seed, tune_factor=tune_factor)

    def _is_stuck(self, name):
        with contextlib.suppress(FileExistsError):
            os.symlink(name, self.stuck)
        return os.readlink(self.stuck) == name


class ScriptedEngine:
    """Answers each call with the next item of a script: draws to return, or an exception."""

    name = "scripted"
    typical_seconds = 1e-3

    def __init__(self, script):
        self.script = list(script)
        self.calls = []

    def sample(self, problem, seed, *, tune_factor=1):
        self.calls.append((problem, seed, tune_factor))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(problem) if callable(answer) else answer


class FailingEngine(GammaEngine):
    """Fails on every run."""

    def sample(self, problem, seed, *, tune_factor=1):
        raise SamplingError("it never works")


class DyingEngine(GammaEngine):
    """Its process ends without a word at the first run."""

    def sample(self, problem, seed, *, tune_factor=1):
        os._exit(9)


class CrashingEngine(GammaEngine):
    """Raises what no run can survive: the worker itself crashes."""

    def sample(self, problem, seed, *, tune_factor=1):
        sys.exit("a crash outside of any run")


class CompilingEngine(GammaEngine):
    """Compiles into the rank's own directory, and needs what is there; logs that it compiles."""

    compiles_per_rank = True

    def __init__(self, log=os.devnull):
        super().__init__()
        self.log = log

    def warm(self):
        with open(self.log, "a") as file, open(self._code(), "w") as code:
            file.write("warm\n")
            code.write("code")

    def sample(self, problem, seed, *, tune_factor=1):
        with open(self._code()) as code:
            assert code.read() == "code"
        return super().sample(problem, seed, tune_factor=tune_factor)

    def _code(self):
        return os.environ["THEANO_FLAGS"].rpartition("base_compiledir=")[2] + "/compiled"


class FreezingEngine(LoggedEngine):
    """A rank freezes or dies where it comes to `place`, once; then there is a file `log`.frozen."""

    def __init__(self, log, place, seconds=0.0, rank=1, signal_name="SIGSTOP"):
        super().__init__(log, seconds)
        self.log = log
        self.signal = getattr(signal, signal_name)
        mine = os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK")
        if mine != str(rank):
            return
        if place == "starting":
            self._freeze()
            return
        module, _, name = (PLACES | RANK_0_PLACES)[place].rpartition(".")
        owner = pydoc.locate(module)
        real = getattr(owner, name)

        def frozen(*args, **kwargs):
            self._freeze()
            return real(*args, **kwargs)

        setattr(owner, name, frozen)

    def _freeze(self):
        if not os.path.exists(f"{self.log}.frozen"):
            os.close(os.open(f"{self.log}.frozen", os.O_CREAT))
            os.kill(os.getpid(), self.signal)


PLACES = {
    "scanning": "mpiapp.parallel.calls.scan_file",
    "reading": "mpiapp.files.prep3_cache.Prep3Cache.get",
    "measuring": "mpiapp.photometry.measuring.Ladder",
    "sending": "mpiapp.files.schema.Batch.__reduce__",
    "ending": "mpiapp.parallel.world.World.part",
    "leaving": "mpiapp.parallel.calls.call_roll",
}
RANK_0_PLACES = {
    "planning": "mpiapp.parallel.rank0.make_plan",
    "writing": "mpiapp.files.writer.Writer.append",
    "publishing": "mpiapp.files.writer.Writer.publish",
}
