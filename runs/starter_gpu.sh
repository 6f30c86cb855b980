#!/usr/bin/env bash
# The same path on one GPU, for MINUTES: runs/starter_gpu.sh MINUTES [KEY=VALUE …]
# RECIPE=small trains the larger one.
#
# The world travels as one file (make it where Node.js is: `instruct-imagen world pack starter
# out/world.zip`), so that nothing is installed or rendered here. The pipeline (EMA weights in bf16,
# shards of at most 15 MB) and the run's figures are left in $OUT (default out/gpu). MINUTES is the
# time of training; loading, one sheet and the export take about one more.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?"usage: runs/starter_gpu.sh MINUTES [KEY=VALUE ...]"}
shift
recipe=${RECIPE:-starter}
out=${OUT:-out/gpu}
run=${RUN:-out/gpu-run}
world=${WORLD:-out/world.zip}
python=${PYTHON:-.venv/bin/python}
for setting in "$@"; do
  case $setting in
    out=* | world=* | minutes=*)
      echo "$setting: set RUN, WORLD or MINUTES in the environment or first argument instead" >&2
      exit 2 ;;
  esac
done
[ -f "$world" ] || { echo "no $world: run 'instruct-imagen world pack $recipe $world' first" >&2; exit 2; }
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
settings=(world="$world" device="$device" out="$run" minutes="$minutes" precision=bf16
          batch_size=512 noises=4 sheet_every=0 checkpoint_every=1000000 "$@")
export PYTHONPATH=src
"$python" -m instruct_imagen.cli train "$recipe" "${settings[@]}"
mkdir -p "$out"
"$python" -m instruct_imagen.cli export "$recipe" "$out/model" --dtype bfloat16 \
  --max-shard-size 15MB "${settings[@]}"
cp "$run/config.json" "$run/log.jsonl" "$out/"
cp "$run"/sheets/*.png "$out/"
large=$(find "$out" -type f -size +16000000c)
[ -z "$large" ] || { echo "more than 16 MB: $large" >&2; exit 1; }
[ "$(find "$out/model" -type f -printf '%s\n' | awk '{s += $1} END {print s}')" -le 64000000 ] ||
  { echo "more than 64 MB in $out/model" >&2; exit 1; }
find "$out" -type f -exec ls -l {} +
