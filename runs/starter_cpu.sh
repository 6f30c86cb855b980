#!/usr/bin/env bash
# The whole path on a laptop: pretrain -> retrieval (stage 1) -> instruct (stage 2), on two CPU cores.
# Called again, it goes on from its last checkpoint. Settings follow: runs/starter_cpu.sh minutes=60
set -euo pipefail
cd "$(dirname "$0")/.."
make .venv
.venv/bin/instruct-imagen train starter "$@"
out=out/starter
for setting in "$@"; do
  case $setting in out=*) out=${setting#out=} ;; esac
done
.venv/bin/instruct-imagen export starter "$out/model" "$@"
.venv/bin/instruct-imagen demo --model "$out/model" --out "$out/demo"
