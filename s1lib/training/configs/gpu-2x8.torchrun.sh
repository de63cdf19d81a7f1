#!/bin/bash
# Two nodes of eight GPUs without a scheduler: start this on both, with the same HEAD (name of one
# of the two). The FSDP settings are those of gpu-2x8.yaml, as accelerate launch would set them.
set -euo pipefail
profile=${PROFILE:-paper}
data=${DATA:-results/paper/s1K.parquet}
output=${OUTPUT:-results/paper/models/s1}
export ACCELERATE_USE_FSDP=true ACCELERATE_MIXED_PRECISION=bf16
export FSDP_VERSION=2 FSDP_AUTO_WRAP_POLICY=TRANSFORMER_BASED_WRAP
export FSDP_RESHARD_AFTER_FORWARD=true FSDP_STATE_DICT_TYPE=SHARDED_STATE_DICT
export FSDP_CPU_RAM_EFFICIENT_LOADING=true FSDP_OFFLOAD_PARAMS=false
exec torchrun --nnodes 2 --nproc_per_node 8 \
  --rdzv_backend c10d --rdzv_endpoint "${HEAD:?name of the first node}:29401" --rdzv_id s1 \
  -m s1lib.training.sft --profile "$profile" --data "$data" --output "$output"
