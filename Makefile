# The two commands of the README: `make demo` and `make test`. Each prepares .venv by itself.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test mutants chaos check format bench clean

demo: $(VENV)/.demo
	$(BIN)/python advanced_agent_runner.py demo $(DEMO)

# What fails among others, on a busy machine, is run once more by itself: what fails then has failed.
test: $(VENV)/.dev
	export PYTHONDONTWRITEBYTECODE=; \
	$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS) || $(BIN)/python -m pytest --last-failed --last-failed-no-failures=none $(TESTS)

# Kills daemons, shims and agents at random. CHAOS_SEED=n repeats the choices of a run, CHAOS_KILLS=n is how many.
chaos: $(VENV)/.dev
	CHAOS_KILLS=$${CHAOS_KILLS:-1000} $(BIN)/python -m pytest -s tests/chaos/test_chaos.py
	CHAOS=full $(BIN)/python -m pytest -s tests/chaos --ignore tests/chaos/test_chaos.py tests/integration/test_workflow_queue.py

# Known bugs, planted one at a time in a copy; NAMES chooses some.
mutants: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.mutants $(NAMES)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; name one with make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	$(BIN)/python -m compileall -q components
	@touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	$(BIN)/python -m compileall -q components
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV)
