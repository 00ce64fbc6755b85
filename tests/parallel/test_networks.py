"""Jobs whose ranks share no memory: MPICH over TCP, and two hosts, which are network namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from jobs import (
    HANGING,
    LOGGED_RUNS,
    by_the_clock,
    environment,
    logged_job,
    mpiexec,
    needs_mpiexec,
    photometry,
    table,
    write_job,
)

pytestmark = [pytest.mark.slow, by_the_clock]

# A frozen rank is missed after a run's time and more; idle, when the job's is over.
LIMITS = {
    "": "",
    "measuring": "[limits]\nrun_seconds = 5\n",
    "leaving": "[limits]\njob_seconds = 60\n",
}
NETMODS = {
    "ucx": {"UCX_TLS": "tcp,self"},
    "ofi": {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"},
}


def run_over(netmod, config, ranks=3):
    """The finished job, whose ranks on this host speak TCP."""
    env = environment() | {"MPIR_CVAR_NOLOCAL": "1"} | NETMODS[netmod]
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-m", "mpiapp", "run", str(config)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANGING)
    if "not found" in done.stderr and "netmod" in done.stderr.lower():
        pytest.skip(f"this MPICH has no netmod {netmod}")
    return done


@needs_mpiexec
@pytest.mark.parametrize("netmod", NETMODS)
def test_a_job_over_tcp_ends(tmp_path, netmod):
    done = run_over(netmod, logged_job(tmp_path, 0.0))
    assert done.returncode == 0, done.stderr
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


@needs_mpiexec
@pytest.mark.parametrize("netmod", NETMODS)
@pytest.mark.parametrize("place", ["measuring", "leaving"])
def test_a_job_over_tcp_ends_without_a_rank_that_freezes(tmp_path, netmod, place):
    options = f"[engine.options]\nlog = '{tmp_path / 'log'}'\nplace = '{place}'\n"
    limits = LIMITS[place]
    done = run_over(netmod, write_job(tmp_path, "freezing", options + limits, table(4, 5)))
    assert done.returncode == 0, done.stderr
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


LAUNCHER = """\
#!/bin/sh
# What mpiexec starts a process of another host with: [options] HOST COMMAND...
while [ "${1#-}" != "$1" ]; do shift; done
host=$1; shift
echo "$host" >>"$0.hosts"
exec ip netns exec "mpiapp-$PREFIX-${host##*.}" sh -c "$*"
"""


@pytest.fixture
def two_hosts(tmp_path):
    """The launcher and the addresses of two network namespaces, joined by one cable."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    prefix = str(os.getpid())
    names = [f"mpiapp-{prefix}-{i}" for i in (1, 2)]

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ends = [f"a{prefix}", f"b{prefix}"]
        ip("link", "add", ends[0], "netns", names[0], "type", "veth",
           "peer", "name", ends[1], "netns", names[1])  # fmt: skip
        for i, (name, end) in enumerate(zip(names, ends), 1):
            ip("-n", name, "addr", "add", f"10.231.7.{i}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        launcher = tmp_path / "launcher"
        launcher.write_text(LAUNCHER.replace("$PREFIX", prefix))
        launcher.chmod(0o755)
        yield ["ip", "netns", "exec", names[0], mpiexec(), "-launcher", "ssh", "-launcher-exec",
               str(launcher), "-hosts", "10.231.7.1,10.231.7.2"]  # fmt: skip
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.decode().strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@needs_mpiexec
@pytest.mark.parametrize("place", ["", "measuring", "leaving"])
def test_a_job_on_two_hosts_ends_whatever_a_rank_does(tmp_path, two_hosts, place):
    folder = tmp_path / "job"
    folder.mkdir()
    options = f"[engine.options]\nlog = '{folder / 'log'}'\n"
    options += f"place = '{place}'\n" if place else ""
    limits = LIMITS[place]
    config = write_job(folder, "freezing" if place else "logged", options + limits, table(4, 5))
    command = [*two_hosts, "-n", "4", sys.executable, "-m", "mpiapp", "run", str(config)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=HANGING
    )
    assert done.returncode == 0, done.stderr
    assert len(photometry(folder / "results.h5")) == LOGGED_RUNS
    started = (tmp_path / "launcher.hosts").read_text().split()
    assert "10.231.7.2" in started
