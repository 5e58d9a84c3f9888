#!/usr/bin/env bash
# Sets up a virtual environment beside the checkout and passes the checks and the tests, from a bare Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --editable ".[dev]" $(printf -- '--editable %s ' ./plugins/fewgan-*)
# The networks of the tests are so small that a second thread costs more than it gives.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
