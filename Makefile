# Everything runs from .venv, which the first target that needs it makes.
# PYTHON chooses the interpreter the environment is made with.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := target_app flash loadgen dashboard stack tests benchmarks docs/chat_completions.py demo.py

.PHONY: help demo test test-advisor test-floods test-long test-stack soak audit stack-files lint format plotly
.PHONY: bench-cold-starts bench-dashboard bench-edge bench-loadgen bench-memory bench-scaling accuracy clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 28

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "Python 3.11 to 3.13 is needed, $(PYTHON) is %d.%d; choose another: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing dependencies into .venv (once; a minute or two) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/installed ## Local edge, load and dashboard together; prints the address to open
	@exec $(BIN)/python demo.py $(DEMO)

test: .venv/installed ## All tests that belong to every change
	@$(BIN)/python -m pytest -n 3 --dist loadgroup $(PYTEST)

test-advisor: .venv/installed ## The advice on a run against what it met and cost, for six settings; two minutes
	@$(BIN)/python -m pytest -m advisor tests/end_to_end/test_advice.py $(PYTEST)

test-stack: .venv/installed ## The metrics stack, whole: in a Docker engine if one answers, and as processes
	@$(BIN)/python -m pytest -m stack tests/end_to_end/test_stack.py $(PYTEST)

test-long: .venv/installed ## What takes minutes: kills, floods and outages of docs/reliability.md in their long form
	@$(BIN)/python -m pytest -m long $(PYTEST)

audit: .venv/installed ## Look for known vulnerabilities of the dependencies, with pip-audit; asks an index on the internet
	@test -x .venv/audit/bin/pip-audit || { $(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip install --disable-pip-version-check -q pip-audit; }
	@.venv/audit/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt

soak: .venv/installed ## Half an hour of everything at a steady rate; SOAK='--minutes 3' for less
	@$(BIN)/python -m benchmarks.soak $(SOAK)

test-floods: .venv/installed ## Full-size floods of the edge, and long fuzzing; a quarter of an hour
	@$(BIN)/python -m pytest -m floods $(PYTEST)

stack-files: .venv/installed ## Make the stack's files anew that come from the dashboard's panels
	@$(BIN)/python -m stack.generate

lint: .venv/installed ## Format, lint and types
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy

format: .venv/installed ## Bring the code into the one format
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

plotly: ## Build the page's Plotly.js anew, of what its charts need (needs npm)
	@cd plotlyjs && npm ci && node build.mjs

bench-loadgen: .venv/installed ## The load generator's speed beside its peers'; BENCH='--tls' for options
	@$(BIN)/python -m benchmarks.bench_recording
	@$(BIN)/python -m benchmarks.bench_reported
	@$(BIN)/python -m benchmarks.bench_send_lag
	@$(BIN)/python -m benchmarks.bench_loadgen $(BENCH)

bench-edge: .venv/installed ## The local edge's speed beside nginx and HAProxy
	@$(BIN)/python -m benchmarks.bench_edge $(BENCH)

bench-dashboard: .venv/installed ## The dashboard over a day's run, beside Prometheus, and its page in a browser
	@$(BIN)/python -m benchmarks.bench_dashboard $(BENCH)
	@$(BIN)/python -m benchmarks.bench_page

bench-memory: .venv/installed ## The load generator's memory over ten minutes, and the start of 5,000 users
	@$(BIN)/python -m benchmarks.bench_memory $(BENCH)

bench-scaling: .venv/installed ## What workers add: requests/s and CPU of 1, 2 and 4 of them
	@$(BIN)/python -m benchmarks.bench_scaling $(BENCH)

bench-cold-starts: .venv/installed ## How long a server takes to wake up; BENCH='--flash-edge URL --cycles 20'
	@$(BIN)/python -m benchmarks.bench_cold_starts $(BENCH)

accuracy: .venv/installed ## The load generator's figures against exact ones, a million requests
	@$(BIN)/python -m benchmarks.accuracy $(BENCH)

clean: ## Remove the environment, caches and the demo's data
	rm -rf .venv .flashgauge .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
