#!/usr/bin/env bash
# Sets up a virtual environment beside the checkout and passes the checks and the tests, from a bare Python 3.11.
# Arguments go to pytest; --device cuda runs the tests of steps, resume, sampling and scores on a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ ! -d .venv ]; then
    "$python" -m venv .venv
fi
bin=.venv/bin
[ -d "$bin" ] || bin=.venv/Scripts  # Windows
packages=$(printf -- '--editable %s ' ./plugins/fewgan-*)
# pip reads dependency groups from 25.1 on.
"$bin/python" -m pip install --quiet --upgrade "pip>=25.1"
# shellcheck disable=SC2086
"$bin/python" -m pip install --quiet ${TORCH:-} --editable ".[testing]" --group dev $packages
# The networks of the tests are so small that a second thread costs more than it gives.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
command -v chromium chromium-browser google-chrome >/dev/null || echo "No Chromium here: the tests of the report in a browser are skipped (Debian: apt-get install chromium)" >&2
"$bin/python" -m pytest -n auto --dist worksteal "$@"
