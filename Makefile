# Development and first use.  Nothing needs to be installed by hand: the first target
# that needs it makes .venv (Python 3.10, pinned by config/constraints.txt), or for those called
# `-current` .venv-current (Python 3.12 or later, config/constraints-current.txt).
#   PYTHON=/path/to/python3.10   use this interpreter
#   RANKS=4                      MPI ranks of `make run`

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run run-current test test-current test-cluster bench docs pictures lint install constraints clean

export PYTHON
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
bin := .venv/bin
RANKS ?= 3
MPIEXEC = $(bin)/mpiexec
example := config/example
out := out/example
config := config/example.toml

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

run: .venv/run ## Measure a shipped table, and an example under MPI; print photometry and timing
run-current: .venv-current/test ## The same on current Python, with the engine pymc
run-current: bin := .venv-current/bin
run-current: config := out/example-current.toml
run run-current:
	rm -rf $(out)
	$(bin)/mpiapp import $(example)/obsid1575.jsonl $(out)/obsid1575
	$(bin)/mpiapp measure $(example)/field_broad.csv $(out)/fluxes.vot --set photon_energy_kev=1.7
	$(bin)/mpiapp import $(example)/csc21.ecsv $(out)/csc21
	$(bin)/mpiapp import $(example)/cosmos_stack.ecsv $(out)/cosmos_stack
	$(bin)/mpiapp import $(example)/cosmos_master.ecsv $(out)/cosmos_master \
	    --masters $(example)/cosmos_links.csv --blocks $(example)/cosmos_blocks.csv
	sed 's/"pymc3"/"pymc"/' config/example.toml >out/example-current.toml
	$(MPIEXEC) -n $(RANKS) $(bin)/python -m mpiapp run $(config)
	$(bin)/mpiapp show $(out)/results.h5 --published $(example)/csc21_published.ecsv
	$(bin)/mpiapp timing $(out)/results.h5
	$(bin)/mpiapp export $(out)/results.h5 $(out)/catalog.vot

# What a rank does: it reads, plans, measures.  The rest of the program knows nothing of MPI.
ranked := tests/catalog tests/parallel tests/photometry tests/posterior tests/test_api.py

# All at once: two processes share all tests, two ranks the quick ones of what a rank does.
test: .venv/test ## Run all tests without MPI, and beside them those of what a rank does on two MPI ranks
	log=$$(mktemp); $(bin)/python -m pytest -n 2 --dist loadscope >"$$log" 2>&1 & serial=$$!; \
	trap 'kill $$serial 2>/dev/null || true; rm -f "$$log"' EXIT; \
	$(MPIEXEC) -prepend-rank -n 2 $(bin)/python -m pytest -p no:cacheprovider \
	    -m "not mpi and not pymc3 and not slow" $(ranked); \
	tail -n +1 -f --pid=$$serial "$$log"; wait $$serial

# Of jobs under MPI, README's first run by the engine pymc.
test-current: .venv-current/test ## Run the tests on current Python, but the slow ones and those of pymc3 and MPI
	.venv-current/bin/python -m pytest -n 2 --dist loadscope \
	    -m "not pymc3 and not slow and (pymc or not mpi)"

cluster_tests := MPIAPP_SLOW=1 $(bin)/python -m pytest -n 2 --dist loadscope \
    tests/parallel/test_interruption.py tests/parallel/test_networks.py tests/parallel/test_slurm.py

test-cluster: .venv/test ## Run the tests of signals and walltimes, under SLURM too; what fails, twice
	$(cluster_tests) || $(cluster_tests) --last-failed

bench: .venv/run ## Run the benchmarks, which print ratios measured side by side
	for benchmark in tests/benchmarks/bench_*.py; do \
	    OMP_NUM_THREADS=1 PYTHONPATH=tests $(bin)/python "$$benchmark"; done

docs: .venv/docs ## Build the documentation into docs/_build/html
	$(bin)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html
	@! grep -rE --include='*.html' '<(script|link|img)[^>]*(src|href)="(https?:)?//' docs/_build/html || \
	    { echo "the pages above load something from the network"; exit 1; }
	@! grep -rl --include='*.html' 'class="problematic"' docs/_build/html || \
	    { echo "the pages above have text that docutils could not read"; exit 1; }
	@echo "docs/_build/html/index.html"

pictures: .venv/test ## Run the tutorials and put their pictures beside them in docs/tutorials
	PYTHONPATH=tests $(bin)/python tests/tutorials.py

lint: .venv/lint ## Check style, formatting and shell scripts
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/clang-format --dry-run --Werror $(sources)
	@if command -v shellcheck >/dev/null; then \
	    shellcheck .ci/run .ci/packages .make/find-python .make/freeze tests/parallel/slurm_node.sh $(wildcard jobscripts/*.slurm jobscripts/*.pbs); \
	else echo "shellcheck is not installed: shell scripts were not checked"; fi

install: ## Install into the active Python 3.10 environment, with its MPI (EXTRAS=mpich adds one)
	$${PYTHON:-python3} -m pip install --constraint config/constraints.txt \
	    '.[pymc3$(if $(EXTRAS),$(comma)$(EXTRAS))]'

constraints: ## Pin the newest versions that setup.cfg allows, for both Pythons; then run the tests
	.make/freeze 3.10 pymc3,mpich,csc20,test,docs,lint config/constraints.txt
	.make/freeze 3.13 pymc,mpich,hats,test config/constraints-current.txt

clean: ## Remove everything that make has made
	rm -rf .venv .venv-current out docs/_build build *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -f mpiapp/*/_compiled.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

comma := ,

# Each virtual environment is made once; each use adds its extras and leaves a stamp.
# Nothing is built in isolation, so the build tools are pinned like everything else.
.venv/made: config/constraints.txt
	@command -v g++ >/dev/null || { echo "g++ is missing: it compiles the engines"; exit 1; }
	rm -rf .venv
	python=$$(.make/find-python 3.10) && "$$python" -m venv .venv
	$(bin)/python $(PIP_INSTALL) --constraint $< pip pybind11 setuptools wheel
	touch $@

.venv-current/made: config/constraints-current.txt
	rm -rf .venv-current
	python=$$(.make/find-python 3.13 3.14 3.12) && "$$python" -m venv .venv-current
	.venv-current/bin/python $(PIP_INSTALL) --constraint $< pip pybind11 setuptools wheel
	touch $@

.venv/run: extras := pymc3,mpich
.venv/test: extras := pymc3,mpich,test
.venv/docs: extras := docs
.venv/lint: extras := lint
.venv/run .venv/test .venv/docs .venv/lint: .venv/built
	$(bin)/python $(PIP_INSTALL) --no-build-isolation --constraint config/constraints.txt \
	    'mpiapp[$(extras)]'
	touch $@

.venv-current/test: .venv-current/built
	.venv-current/bin/python $(PIP_INSTALL) --no-build-isolation \
	    --constraint config/constraints-current.txt 'mpiapp[pymc,mpich,hats,test]'
	touch $@

# The package with its compiled code, which lies beside its sources.
sources := $(wildcard mpiapp/cpp/*.hpp mpiapp/*/cpp/*.hpp mpiapp/*/cpp/*.cpp)
.venv/built: config/constraints.txt
.venv-current/built: config/constraints-current.txt
%/built: %/made setup.py setup.cfg pyproject.toml $(sources)
	@echo "Fetching packages, then g++ compiles the engines: some two minutes of a core"
	$*/bin/python $(PIP_INSTALL) --no-build-isolation --constraint $(filter config/%,$^) --editable .
	touch $@
