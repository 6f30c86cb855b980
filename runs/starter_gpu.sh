#!/usr/bin/env bash
# The same path on one GPU, for MINUTES: runs/starter_gpu.sh MINUTES [KEY=VALUE …]
#
# The world travels as one file (make it where Node.js is: `instruct-imagen world pack starter
# out/world.zip`), so that nothing is installed or rendered here. Weights (EMA, bf16) and figures are
# left in $OUT (default out/gpu) in files of at most 16 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?"usage: runs/starter_gpu.sh MINUTES [KEY=VALUE ...]"}
shift
out=${OUT:-out/gpu}
world=${WORLD:-out/world.zip}
python=${PYTHON:-.venv/bin/python}
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
[ -f "$world" ] || { echo "no $world: run 'instruct-imagen world pack starter $world' first" >&2; exit 2; }
settings=(world="$world" device="$device" out=out/gpu-run minutes="$minutes" precision=bf16
          batch_size=512 learning_rate=1e-3 sheet_every=0 checkpoint_every=1000000 "$@")
export PYTHONPATH=src
"$python" -m instruct_imagen.cli train starter "${settings[@]}"
"$python" -m instruct_imagen.cli export starter out/gpu-model --dtype bfloat16 \
  --max-shard-size 15MB "${settings[@]}"
mkdir -p "$out"
cp out/gpu-model/unet/* "$out/"
cp out/gpu-run/config.json out/gpu-run/log.jsonl "$out/"
cp out/gpu-run/sheets/*.png "$out/" 2>/dev/null || true
ls -la "$out"
