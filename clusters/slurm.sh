#!/bin/bash
# raystudy under Slurm: a Ray cluster over the nodes of this allocation, for as long as the study runs.
#
#   sbatch clusters/slurm.sh experiments/quickstart.py --scale paper
#   sbatch clusters/slurm.sh …        # again: does what is missing; so does Slurm's own requeue
#
# ---- yours ------------------------------------------------------------------------------------------
#SBATCH --job-name=raystudy
#SBATCH --nodes=4
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --partition=gpu
# ------------------------------------ and two more below ---------------------------------------------
# One process a node, which starts Ray with all that the node gives to this job.
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --output=%x-%j.log
# Back in the queue after a node failed, and when the time is over: two minutes before.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

# ---- yours: a folder that all nodes share, or s3://bucket/prefix; and an environment in such a folder:
# python3.12 -m venv .venv && .venv/bin/pip install -c constraints.txt -e .
export RAYSTUDY_STORE="${RAYSTUDY_STORE:-${SCRATCH:-$HOME}/raystudy}"
VENV="${VENV:-$SLURM_SUBMIT_DIR/.venv}"
# A server of yours for more than one study at a time; otherwise MLflow's database is in the store.
# export MLFLOW_TRACKING_URI=http://mlflow.example.org:5000
# -----------------------------------------------------------------------------------------------------

if [ $# -eq 0 ]; then
  echo "sbatch clusters/slurm.sh EXPERIMENT [options of raystudy run]" >&2
  exit 2
fi
cd "$SLURM_SUBMIT_DIR"
export PATH="$VENV/bin:$PATH"

# The first node is the head. Ports by the job's number, because others may share its machines' network.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
read -ra ips < <(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address)
for ip in "${ips[@]}"; do
  [[ "$ip" == *:* ]] || break # of several addresses one of version 4
done
address="$ip:$((20000 + SLURM_JOB_ID % 10000))"

# Whoever reaches the head's port could run anything as you: a token for this job alone keeps them out.
umask 077
RAY_AUTH_TOKEN_PATH="$(mktemp "$SLURM_SUBMIT_DIR/.ray-token-XXXXXX")"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
export RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE=token
export RAY_ADDRESS="$address" OMP_NUM_THREADS=1
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

# Ray's way with Slurm: the same command on every node; the head runs the study, the others join, and
# all of it ends with the study.
gpus=(); [ -z "${SLURM_GPUS_ON_NODE:-}" ] || gpus=(--num-gpus "$SLURM_GPUS_ON_NODE")
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --kill-on-bad-exit=1 \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "${SLURM_CPUS_PER_TASK:-1}" "${gpus[@]}" --disable-usage-stats -- \
  raystudy run "$@" ${SLURM_GPUS_ON_NODE:+--gpu} &
study=$!

# The study goes on from its checkpoints when the job is started again.
trap 'echo "time is nearly over: back in the queue" >&2; scontrol requeue "$SLURM_JOB_ID"' USR1
# A trap interrupts `wait`; what the study said is known once it has really ended.
while kill -0 "$study" 2> /dev/null; do
  wait "$study" || true
done
status=0
wait "$study" || status=$?
exit "$status"
