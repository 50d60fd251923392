# Everything here needs only Python 3.11 or newer and PyPI; each target does its own set-up.
#
#   make demo          the main job on a real database, in seconds
#   make test          every test but those; `make test ARGS="-k pricing"` runs a part of it
#   make test-cluster  those that break whole clusters and restore backups (minutes)
#   make lint          style, types, import directions
#   make bench         the booking core beside pgbench and psycopg, as ratios (minutes)
#   make load          a database, a server and Locust; SHAPE=evening picks a day's shape (minutes)
#   make load-short    the same in under 90 seconds
#   make fuzz-api      Schemathesis on the OpenAPI document, a long look
#   make bench-http    the HTTP door beside Django and gunicorn, as ratios (minutes)
#   make failover-matrix  bookings while a real cluster is broken, fault by fault (minutes)
#   make clean         forget the virtual environment and what tools left behind

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers for two cores; each has its own PostgreSQL.
WORKERS ?= 2

.PHONY: demo test test-cluster test-15 lint bench bench-quick bench-validate bench-http fuzz-api load load-short failover-matrix failover-matrix-quick schema-shape constraints clean

demo: $(VENV)/installed
	$(BIN)/padelops demo --yes

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# Faults get a fresh lab of their own: after the failovers of the other files a killed primary was
# once not replaced in time, for a reason not found yet.
test-cluster: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) -m cluster --ignore=tests/integration/test_lab_faults.py $(ARGS)
	$(BIN)/python -m pytest -m cluster tests/integration/test_lab_faults.py

# The same tests of SQL, locks and transactions on the system's PostgreSQL.
test-15: $(VENV)/installed-dev
	PADELOPS_TEST_PG_BINDIR=/usr/lib/postgresql/15/bin $(BIN)/python -m pytest -n $(WORKERS) tests/integration $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python load_tests/bench_booking.py $(ARGS)

bench-quick: $(VENV)/installed-dev
	$(BIN)/python load_tests/bench_booking.py --quick $(ARGS)

# Validation of a million reservations beside one reading of them, and one violation of each kind found.
bench-validate: $(VENV)/installed-dev
	$(BIN)/python load_tests/bench_validate.py $(ARGS)

# After a new migration: what validation expects of the schema, written down anew.
schema-shape: $(VENV)/installed-dev
	PYTHONPATH=tests $(BIN)/python -m testbed.schema_shape

bench-http: $(VENV)/installed-dev
	$(BIN)/python load_tests/bench_http.py $(ARGS)

FUZZ_SECONDS ?= 20
fuzz-api: $(VENV)/installed-dev
	PADELOPS_TEST_SCHEMATHESIS_S=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n $(WORKERS) tests/acceptance/test_api_document.py $(ARGS)

SHAPE ?= morning
load: $(VENV)/installed-load
	$(BIN)/python load_tests/run_load.py --shape $(SHAPE) $(ARGS)

# Machines of CI are busy and small: the number of users is, too.
load-short: $(VENV)/installed-load
	$(BIN)/python load_tests/run_load.py --users 40 --spawn-rate 10 --run-time 30s $(ARGS)

failover-matrix: $(VENV)/installed-dev
	$(BIN)/python load_tests/failover_matrix.py $(ARGS)

# Three faults, for CI.
failover-matrix-quick: $(VENV)/installed-dev
	$(BIN)/python load_tests/failover_matrix.py --quick $(ARGS)

# After a change of pyproject.toml's bounds: what CI installs, written down anew.
constraints:
	$(PYTHON) -m venv --clear $(VENV)-constraints
	$(VENV)-constraints/bin/python -m pip install --quiet -e '.[dev,load]'
	{ head -n 1 constraints.txt; $(VENV)-constraints/bin/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) $(VENV)-django .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "padelops needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/installed

$(VENV)/installed-load: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[load]'
	touch $@ $(VENV)/installed
