#!/usr/bin/env bash
# Device: two CPU cores; bfloat16 by itself where the CPU has it. 64 px.
# Time:   about 10 minutes of training with AVX512-BF16, 20 without.
# Needs:  fewgan-projected and fewgan-efficientnet (pip install ./plugins/…); a source near the photos in SOURCE.
# Scores: @@SCORES10@@
#
#     SOURCE=./biggan examples/recipes/cpu-10-minutes.sh ./photos
#
# DRY=1 prints the plan of the training and stops.
set -euo pipefail
photos=${1:?give the folder of photos}
[ -d dataset-64 ] || fewgan prepare "$photos" --size 64 --holdout 20 --out dataset-64
fewgan train dataset-64 --transfer minegan --aug diffaugment --cr --visionaided --d-steps 1 \
    ${SOURCE:+--source "$SOURCE"} --steps 600 --continue ${DRY:+--dry-run}
[ -n "${DRY:-}" ] || fewgan sample --truncation 0.7 --grid
