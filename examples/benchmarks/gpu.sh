#!/usr/bin/env bash
# Checks fewgan on one GPU in under 10 minutes, from a bare container that has torch, and writes a Markdown table.
#
#     examples/benchmarks/gpu.sh                          writes ./gpu-check.md
#     DEVICE=cpu QUICK=1 examples/benchmarks/gpu.sh       the same from start to end, tiny, without a GPU
#
# PYTHON: the one that has torch (python3). VENV: a virtual environment to use or make. OUT: the file to write.
# A part that fails is told in the table and does not stop the others; the exit code is 1 then.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
device=${DEVICE:-cuda}
quick=${QUICK:+--quick}
out=$(realpath -m "${OUT:-gpu-check.md}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${VENV:-$work/venv}
python=$venv/bin/python
started=$SECONDS
failed=0
summary=$work/summary.md
details=$work/details.md
: >"$summary"
: >"$details"

# part NAME SECONDS COMMAND…: runs it and adds a row; its stdout is added to the details.
part() {
    local name=$1 limit=$2 before=$SECONDS code=0 said
    shift 2
    echo "== $name" >&2
    timeout -k 5 "$limit" "$@" >"$work/stdout" 2> >(tee "$work/stderr" >&2) || code=$?
    said=passed
    if [ $code -eq 124 ] || [ $code -eq 137 ]; then
        said="not done after $limit s"
    elif [ $code -ne 0 ]; then
        said="failed ($code): $(cat "$work/stdout" "$work/stderr" | grep -v '^ *$' | tail -1 | cut -c1-160 | tr '|' '/')"
    fi
    [ $code -eq 0 ] || failed=1
    echo "| $name | $said | $((SECONDS - before)) |" >>"$summary"
    { echo; echo "## $name"; echo; tail -n 60 "$work/stdout"; } >>"$details"
}

fewgan() { "$python" -m fewgan "$@"; }

install() {
    [ -d "$venv" ] || "${PYTHON:-python3}" -m venv --system-site-packages "$venv" || return
    # pip reads dependency groups from 25.1 on.
    "$python" -m pip install --quiet --upgrade "pip>=25.1" || return
    (cd "$root" && "$python" -m pip install --quiet --editable ".[testing]" --group dev) || return
    fewgan --version
}

device_tests() {
    # Those that take the fixture `device`; the markers of a quick run are lifted.
    local files
    cd "$root" || return
    files=$(grep -rlE "^def (test_\w+|\w+)\(.*\bdevice\b" --include='test_*.py' tests | grep -v tests/photos)
    # shellcheck disable=SC2086
    "$python" -m pytest -q -p no:cacheprovider -m "" --device "$device" $files 2>&1 | tail -n 15
}

photos() {
    "$python" -c 'import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from cases import write_photos
write_photos(Path("."), 64)' "$root/examples/benchmarks"
}

# train NAME MORE…: a short training at ./NAME; the same settings give the same generator.
train() {
    local name=$1
    shift
    fewgan train dataset --size 64 --biggan-width 8 --batch-size 4 --steps 6 --save-every 3 --sample-every 6 \
        --aug diffaugment --cr --precision fp32 --quiet --out "$name" "$@" >/dev/null
}

exact_resume() {
    cd "$work" || return
    photos && train one --device "$device" && train two --device "$device" || return
    mkdir -p resumed && cp -r one/. resumed/ || return
    local run
    run=$(echo resumed/00001-*)
    rm "$run"/checkpoints/000006.safetensors "$run"/generator.safetensors || return
    fewgan train --resume "$run" --quiet >/dev/null || return
    local again
    again=$(compare one two)
    echo "The same command again: $again"
    echo "Resumed at step 3 of 6: $(compare one resumed)"
    # Some of a GPU's operations add in any order: then a resume is as exact as a second run.
    [ "$again" != identical ] || [ "$(compare one resumed)" = identical ]
}

compare() { "$python" "$root/examples/benchmarks/gpu.py" same "$1"/00001-* "$2"/00001-*; }

ranks() { "$python" -m torch.distributed.run --standalone --local-addr 127.0.0.1 --nproc-per-node 2 "$@"; }

# Two processes with a GPU each where there are two, else on the CPU: NCCL takes one rank a GPU.
two_ranks() {
    cd "$work" || return
    local gpus where=cpu hide=
    gpus=$("$python" -c 'import torch; print(torch.cuda.device_count())')
    if [ "$device" != cpu ] && [ "$gpus" -ge 2 ]; then where=cuda; else hide=1; fi
    [ -d dataset ] || photos || return
    (
        [ -z "$hide" ] || export CUDA_VISIBLE_DEVICES=
        for name in ranks again; do
            ranks -m fewgan train dataset --size 64 --biggan-width 8 --batch-size 4 --steps 6 --save-every 3 \
                --sample-every 6 --aug diffaugment --cr --precision fp32 --quiet --out $name --device "$where" \
                >/dev/null || exit
        done
    ) || return
    echo "Two processes on $where, the same command again: $(compare ranks again)"
}

export -f install device_tests photos train exact_resume compare ranks two_ranks fewgan
export root device work venv python PYTHON="${PYTHON:-python3}"

benchmark=$root/examples/benchmarks/gpu.py
part "install" 120 bash -c install
part "device tests" 60 bash -c device_tests
# shellcheck disable=SC2086
{
    part "training step" 240 "$python" "$benchmark" steps --device "$device" $quick
    part "sampling" 30 "$python" "$benchmark" sampling --device "$device" $quick
    part "scoring" 30 "$python" "$benchmark" scoring --device "$device" $quick
}
part "exact resume" 60 bash -c exact_resume
part "two ranks" 60 bash -c two_ranks

{
    echo "# fewgan on $device"
    echo
    echo "| part | result | seconds |"
    echo "| --- | --- | ---: |"
    cat "$summary"
    echo
    echo "All: $((SECONDS - started)) s."
    cat "$details"
} >"$out"
echo "written: $out" >&2
exit $failed
