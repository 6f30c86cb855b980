#!/usr/bin/env bash
# The paper's four claims on the starter world: trains the arms that are missing, at equal budgets,
# evaluates them and tests each claim. Called again, it goes on where it was.
#
#   runs/claims.sh          seed 0: about 5 hours of one core (docs/claims.md)
#   runs/claims.sh 0 1 2    three seeds
#
# OUT names the folder, WORKERS the processes of the evaluation, LIMIT the cases of each row,
# STEPS those of the sampling.
set -euo pipefail
cd "$(dirname "$0")/.."
make .venv
seeds=("${@:-0}")
out=${OUT:-out/claims}
more=(--workers "${WORKERS:-2}" --steps "${STEPS:-12}")
[ -z "${LIMIT:-}" ] || more+=(--limit "$LIMIT")
rows="text_to_image depth_to_image mask_to_image edge_to_image styled subject face style_transfer"

train() { # recipe, arm, settings
  local recipe=$1 folder=$here/$2
  shift 2
  [ -f "$folder/model/model_index.json" ] && return
  .venv/bin/instruct-imagen train "$recipe" out="$folder" seed="$seed" "$@"
  .venv/bin/instruct-imagen export "$recipe" "$folder/model" out="$folder" seed="$seed" "$@"
}
evaluate() { # suites, arm, options
  local suites=$1 arm=$2
  shift 2
  .venv/bin/instruct-imagen evaluate "$suites" "$here/$arm/model" --judge truth \
    --out "$here/evaluation" "${more[@]}" "$@"
}

for seed in "${seeds[@]}"; do
  here=$out/seed$seed
  for arm in instruct stage_1 multi_task no_retrieval; do train "claims-$arm" "$arm"; done
  train claims-masked_edit masked_edit init="$here/instruct/model"
  train claims-masked_edit masked_edit_stage_1 init="$here/stage_1/model"
  for row in $rows; do train "claims-single-$row" "single-$row"; done
  for arm in instruct multi_task no_retrieval; do evaluate few_in_domain,few_zero_shot "$arm"; done
  for row in $rows; do evaluate few_in_domain "single-$row" --group "$row"; done
  for arm in masked_edit masked_edit_stage_1; do
    evaluate few_masked_edits "$arm" # every pixel outside the mask is the source's
    # What that is worth: the same as the models draw it. No claim is tested on these.
    evaluate few_masked_edits "$arm" --no-compositing --out "$here/as_drawn"
  done
done
.venv/bin/instruct-imagen claims "$out"
