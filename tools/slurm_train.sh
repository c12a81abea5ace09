#!/usr/bin/env bash
# On a Slurm cluster, one task a GPU: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK (8, 8, 5) and SRUN_ARGS say what to ask for; KEEP_MEMORY=1 as for dist_train.sh.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: $0 PARTITION JOB_NAME CONFIG [arguments of train.py]" >&2
  exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/keep_memory.sh"
partition=$1 job=$2
files=("$3")
shift 3
gpus=${GPUS:-8} gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus" -lt "$gpus_per_node" ]; then gpus_per_node=$gpus; fi
# shellcheck disable=SC2086  # SRUN_ARGS holds several words
PYTHONPATH="$(dirname "$tools")${PYTHONPATH:+:$PYTHONPATH}" exec srun --partition="$partition" --job-name="$job" \
  --gres="gpu:$gpus_per_node" --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$tools/train.py" "${files[@]}" --launcher slurm "$@"
