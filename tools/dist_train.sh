#!/usr/bin/env bash
# On several GPUs: tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On several machines, the same command on each, with NNODES, NODE_RANK (0 on the first), MASTER_ADDR and PORT set.
# KEEP_MEMORY=1 lets glibc keep freed memory (see keep_memory.sh); PYTHON names another interpreter.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: $0 CONFIG GPUS [arguments of train.py]" >&2
  exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/keep_memory.sh"
files=("$1")
gpus=$2
shift 2
PYTHONPATH="$(dirname "$tools")${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" \
  --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" \
  --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$tools/train.py" "${files[@]}" --launcher pytorch "$@"
