#!/usr/bin/env bash
# The rows of full size on a GPU, in ten minutes at most, by the same runner: FB15K-237 to the end, with
# the seconds of an epoch and the share of the card's rate. What is left after that goes on when it is
# started again. `benchmarks/gpu.sh --tiny` tries it anywhere, and keeps no line.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}"
"$python" -W ignore benchmarks/run.py gpu "speed_imf.py --batch_size 8192 --steps 20" \
  --minutes "${MINUTES:-9}" --threads "${THREADS:-4}" "$@"
"$python" -W ignore benchmarks/run.py --list gpu
