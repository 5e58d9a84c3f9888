#!/usr/bin/env bash
# Device: one GPU with 16 GB. 128 px, from a BigGAN that was trained on ImageNet.
# Time:   not measured yet.
# Needs:  the files of BigGAN-PyTorch's 128 px model in SOURCE ('fewgan train --source imagenet-128' says what to get);
#         pip install ./plugins/fewgan-projected "./plugins/fewgan-efficientnet[lite2]".
# Scores: not yet run on a GPU.
#
#     SOURCE=./biggan-128 examples/recipes/gpu-128-imagenet.sh ./photos
#
# DRY=1 prints the plan of the training and stops.
set -euo pipefail
photos=${1:?give the folder of photos}
[ -d dataset-128 ] || fewgan prepare "$photos" --size 128 --holdout 20 --out dataset-128
fewgan train dataset-128 --transfer minegan --aug diffaugment --cr --visionaided --d-steps 1 --batch-size 32 \
    --source "${SOURCE:-imagenet-128}" --steps 10000 --score-every 500 --patience 6 --features efficientnet \
    --efficientnet-variant 2 \
    --continue ${DRY:+--dry-run}
[ -n "${DRY:-}" ] || fewgan sample --truncation 0.7 --grid
