#!/usr/bin/env bash
# Device: one GPU with 16 GB. 256 px, for photos of faces, from StyleGAN2 trained on FFHQ.
# Time:   not measured yet.
# Needs:  fewgan-stylegan2, fewgan-freezed, fewgan-ada (pip install ./plugins/…), "./plugins/fewgan-efficientnet[lite2]";
#         NVIDIA's ffhq-res256 .pkl in SOURCE ('fewgan train --arch
#         stylegan2 --source ffhq-256' says where it is; its licence is non-commercial).
# Scores: not yet run on a GPU.
#
#     SOURCE=./ffhq-res256-mirror-paper256-noaug.pkl examples/recipes/gpu-256-ffhq.sh ./photos
#
# DRY=1 prints the plan of the training and stops.
set -euo pipefail
photos=${1:?give the folder of photos}
[ -d dataset-256 ] || fewgan prepare "$photos" --size 256 --holdout 20 --out dataset-256
fewgan train dataset-256 --arch stylegan2 --transfer freezed --aug ada --batch-size 16 \
    --source "${SOURCE:-ffhq-256}" --steps 20000 --score-every 1000 --patience 6 --features efficientnet \
    --efficientnet-variant 2 \
    --continue ${DRY:+--dry-run}
[ -n "${DRY:-}" ] || fewgan sample --truncation 0.7 --grid
