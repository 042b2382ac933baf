#!/usr/bin/env bash
# Run every shipped task against one real vLLM server with the bundled model, and print the table of docs/task-output.md.
#
#   scripts/all_tasks.sh                       # all tasks, target 30 or 400 candidates, into runs/all_tasks/
#   scripts/all_tasks.sh sentiment entities    # these tasks alone
#   TARGET=10 CANDIDATES=100 scripts/all_tasks.sh
#   URL=http://127.0.0.1:8000/v1 scripts/all_tasks.sh    # a server that runs already, with a model named smollm2
#
# A task whose run has ended is not run again, so the same command continues after an interruption. Students are quick ones,
# the same in both arms: scripts/tasks_table.py says how they are trained.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
out=${OUT:-runs/all_tasks}
target=${TARGET:-30}
candidates=${CANDIDATES:-400}
tasks=("$@")
if [ ${#tasks[@]} -eq 0 ]; then
  for file in conf/task/*.yaml; do tasks+=("$(basename "$file" .yaml)"); done
fi
mkdir -p "$out"

# Both arms take the same number of steps: one pass over their rows is less than min_steps.
quick=(
  student.training.early_stopping=false
  student.tagger.repeats=1 student.tagger.epochs=1 student.tagger.min_steps=24
  student.retriever.repeats=1 student.retriever.epochs=1 student.retriever.min_steps=30
  student.preference.epochs=1 student.preference.min_steps=16 student.preference.max_length=256
  student.generator.epochs=1 student.generator.min_steps=16 student.generator.max_length=256
  student.generator.generate_rows=12 student.generator.max_new_tokens=128
)

. scripts/cpu_server.sh
serve "$out"

for task in "${tasks[@]}"; do
  [ -f "$out/$task/summary.json" ] && continue
  echo "== $task"
  choice=("task=$task")
  [ -f "conf/experiment/$task.yaml" ] && choice=("experiment=$task")
  grep -q '^kind: classification' "conf/task/$task.yaml" && choice+=(student=frozen)
  "$python" -m synthgen run "${choice[@]}" engine=openai "engine.urls=[$url]" engine.model=smollm2 \
    "run.dir=$out/$task" "budget.target=$target" "budget.candidates=$candidates" "${quick[@]}" > "$out/$task.log" 2>&1
  echo "   exit code $?, $(tail -n 1 "$out/$task.log")"
done

"$python" scripts/tasks_table.py "$out"
