#!/usr/bin/env bash
# Run each strategy alone on a fitting task, and one mix for each kind of task, against one real vLLM server with the
# bundled model; print the tables of docs/strategies.md.
#
#   scripts/all_strategies.sh                  # all of them, target 30 or 300 candidates, into runs/all_strategies/
#   scripts/all_strategies.sh evolve contrast  # these strategies alone; `mixed` stands for the mixes
#   TARGET=10 CANDIDATES=60 scripts/all_strategies.sh
#   URL=http://127.0.0.1:8000/v1 scripts/all_strategies.sh    # a server that runs already, with a model named smollm2
#
# A run that has ended is not run again, so the same command continues after an interruption.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
out=${OUT:-runs/all_strategies}
target=${TARGET:-30}
candidates=${CANDIDATES:-300}
mkdir -p "$out"
out=$(realpath "$out")

# Texts for label_text: the second half of the eval file, without its labels; the first half stays eval rows.
"$python" - "$out" <<'END'
import json, pathlib, sys
rows = pathlib.Path("examples/advice_topic/eval.jsonl").read_text(encoding="utf-8").splitlines()
half, out = len(rows) // 2, pathlib.Path(sys.argv[1])
texts = [json.dumps({"text": json.loads(row)["text"]}, ensure_ascii=False) for row in rows[half:]]
out.joinpath("eval.jsonl").write_text("\n".join(rows[:half]) + "\n", encoding="utf-8")
out.joinpath("texts.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
END

# STRATEGY | TASK OR EXPERIMENT | OVERRIDE | OVERRIDE ...
alone() {
  cat <<END
attributes|experiment=attributes
augment_code|experiment=code_docstring
augment_text|task=sentiment
back_translation|task=sentiment
contrast|task=sentiment
converse|experiment=dialogue
evolve|task=instruction
fewshot|task=sentiment
grounded|task=passage_qa|task.documents=docs
label_text|task=advice_topic|task.texts=$out/texts.jsonl|task.eval=$out/eval.jsonl
magpie|task=instruction
paraphrase|task=sentiment
prefer|task=preference
reason|experiment=word_sums
seeds_only|task=sentiment
taxonomy|task=advice_topic
template|task=sentiment|task.templates={sentences: {positive: ["The {{ thing }} was {{ good }}, and I would buy it again."], negative: ["The {{ thing }} was {{ bad }}, and nobody answered my letter."], neutral: ["The {{ thing }} comes in {{ plain }} and costs the same as before."]}, slots: {thing: [lamp, rucksack, guided tour, hotel room, novel, kettle], good: [a joy, well made, better than promised], bad: [broken on arrival, far too loud, a waste of money], plain: [two sizes, a paper box, four colours]}}
END
}

# TASK OR EXPERIMENT | STRATEGIES, each with the same weight | OVERRIDE ...
mixes() {
  cat <<END
task=sentiment|fewshot seeds_only taxonomy contrast evolve paraphrase augment_text|student=frozen
task=entities|fewshot seeds_only evolve paraphrase augment_text|student=none
task=instruction|fewshot taxonomy evolve magpie|student=none
experiment=dialogue|fewshot seeds_only converse|student=none
END
}

run() {  # FOLDER OVERRIDE...
  local folder=$out/$1
  shift
  [ -f "$folder/summary.json" ] && return
  echo "== $(basename "$folder")"
  "$python" -m synthgen run "$@" engine=openai "engine.urls=[$url]" engine.model=smollm2 "run.dir=$folder" \
    "budget.target=$target" "budget.candidates=$candidates" > "$folder.log" 2>&1
  echo "   exit code $?, $(tail -n 1 "$folder.log")"
}

. scripts/cpu_server.sh
serve "$out"

wanted=" ${*:-} "
while IFS='|' read -r -a fields; do
  name=${fields[0]}
  [ -n "${wanted// /}" ] && [[ $wanted != *" $name "* ]] && continue
  [ -f "conf/generate/$name.yaml" ] || { echo "== $name: skipped, there is no conf/generate/$name.yaml"; continue; }
  run "$name--${fields[1]#*=}" "${fields[1]}" "generate=$name" student=none "${fields[@]:2}" < /dev/null
done < <(alone)

[ -n "${wanted// /}" ] && [[ $wanted != *" mixed "* ]] || while IFS='|' read -r -a fields; do
  weights=
  for name in ${fields[1]}; do
    if [ -f "conf/generate/$name.yaml" ]; then weights+="${weights:+, }$name: 1"; else echo "== mix of ${fields[0]}: without $name"; fi
  done
  run "mixed--${fields[0]#*=}" "${fields[0]}" "generate.strategies={$weights}" "${fields[@]:2}" < /dev/null
done < <(mixes)

"$python" scripts/strategies_table.py "$out"
