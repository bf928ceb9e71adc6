# One word for each chore. `make help` lists them.
SHELL := /bin/bash
PY := .venv/bin/python
INSTALLED := .venv/.installed
RUN_CONFIG ?= config/local.yaml
export PYTHONDONTWRITEBYTECODE := # what is imported is compiled once, whatever the shell says

.PHONY: help run test check lint types contracts fast thorough real servers bench validate pilot demo reference clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(INSTALLED) ## start the federator with config/local.yaml and its sample workloads
	@$(PY) -m federator run --config $(RUN_CONFIG)

test: $(INSTALLED) ## everything: checks, fast tests, and tests on real servers (about 40 minutes; 7 minutes more the first time)
	@echo "== 1 of 4: checks and fast tests (2 to 4 minutes)"
	@$(MAKE) --no-print-directory check
	@echo "== 2 of 4: long tests (about 6 minutes)"
	@$(MAKE) --no-print-directory thorough
	@echo "== 3 of 4: real servers: Kubernetes (built once from Debian's source, about 6 minutes), PostgreSQL, Apptainer, Podman, Slurm with MariaDB, ssh, HTCondor, BOINC"
	@$(MAKE) --no-print-directory servers
	@echo "== 4 of 4: tests on real servers (about 28 minutes)"
	@$(MAKE) --no-print-directory real

check: $(INSTALLED) ## lint, types, import contracts, fast tests, two at a time (under 2 minutes)
	@$(MAKE) --no-print-directory -j2 lint types contracts fast

lint: $(INSTALLED)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: $(INSTALLED)
	@$(PY) -m mypy

contracts: $(INSTALLED)
	@.venv/bin/lint-imports --no-cache

fast: $(INSTALLED) ## the fast tests alone
	@$(PY) -m pytest -q -m "not real and not thorough" -n 3 --dist loadfile

thorough: $(INSTALLED) ## the long tests that need no server
	@$(PY) -m pytest -q -m thorough -n 2

real: $(INSTALLED) ## the tests on real servers alone, two at a time
	@$(PY) -m pytest -q -m real -n 2 --dist loadfile

servers: $(INSTALLED) ## get the servers that the tests on real servers use
	@$(PY) -m tests.servers.obtain

bench: $(INSTALLED) ## measure; prints medians beside their limits (with FEDERATOR_TRACES=DIR, on traces too)
	@for b in plan curves quality dispatch start leases simulate yielding filling $${FEDERATOR_TRACES:+gpu_packing}; do $(PY) -m benchmarks.$$b || exit 1; done

pilot: $(INSTALLED) ## the pilot as one file, dist/pilot.pyz, for worker nodes that have only Python 3.9
	@$(PY) -m federator.pilot.pack dist/pilot.pyz

validate: $(INSTALLED) ## hold the simulator against published results, on the logs in $$FEDERATOR_TRACES
	@$(PY) -m benchmarks.validate

demo: $(INSTALLED) ## two Kubernetes API servers with pretend nodes, until Ctrl-C
	@$(PY) -m tests.servers.demo

reference: $(INSTALLED) ## write docs/reference/ anew from the models
	@$(PY) -m federator.documents.reference

clean: ## remove what make made here (not the cache of servers)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@echo "== setting up .venv (about two minutes; only when pyproject.toml or constraints.txt changed)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@test -x $(PY) || python3 -m venv .venv 2>/dev/null \
		|| { echo "== installing Debian's python3-venv"; rm -rf .venv; apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && python3 -m venv .venv; }
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@echo "== compiling the planner's loops (half a minute, once)"
	@$(PY) -m federator.engine.warm
	@touch $@
