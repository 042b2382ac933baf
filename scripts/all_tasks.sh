#!/usr/bin/env bash
# Run every shipped task against one real vLLM server with the bundled model, and print the table of docs/tasks.md.
#
#   scripts/all_tasks.sh                       # all tasks, target 30 or 400 candidates, into runs/all_tasks/
#   scripts/all_tasks.sh sentiment entities    # these tasks alone
#   TARGET=10 CANDIDATES=100 scripts/all_tasks.sh
#
# A task whose run has ended is not run again, so the same command continues after an interruption.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
out=${OUT:-runs/all_tasks}
port=${PORT:-8017}
target=${TARGET:-30}
candidates=${CANDIDATES:-400}
minutes=${STUDENT_MINUTES:-2}
tasks=("$@")
if [ ${#tasks[@]} -eq 0 ]; then
  for file in conf/task/*.yaml; do tasks+=("$(basename "$file" .yaml)"); done
fi
mkdir -p "$out"

model=$("$python" -c "from synthgen.engines import bundled; print(bundled.resolve(bundled.GENERATOR))")
VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 "$python" -m vllm.entrypoints.openai.api_server \
  --model "$model" --served-model-name smollm2 --enforce-eager --host 127.0.0.1 --port "$port" > "$out/vllm.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null' EXIT
until curl -sf "http://127.0.0.1:$port/v1/models" > /dev/null; do
  kill -0 "$server" 2>/dev/null || { echo "vLLM did not start; its log is $out/vllm.log" >&2; exit 1; }
  sleep 2
done

for task in "${tasks[@]}"; do
  [ -f "$out/$task/summary.json" ] && continue
  echo "== $task"
  choice="task=$task"
  [ -f "conf/experiment/$task.yaml" ] && choice="experiment=$task"
  "$python" -m synthgen run "$choice" engine=openai "engine.urls=[http://127.0.0.1:$port/v1]" engine.model=smollm2 \
    "run.dir=$out/$task" "budget.target=$target" "budget.candidates=$candidates" "student.max_minutes=$minutes" \
    > "$out/$task.log" 2>&1
  echo "   exit code $?, $(tail -n 1 "$out/$task.log")"
done

"$python" scripts/tasks_table.py "$out"
