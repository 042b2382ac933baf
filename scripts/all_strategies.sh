#!/usr/bin/env bash
# Run each strategy alone on a fitting task, and one mix for each kind of task, against one real vLLM server with the
# bundled model; print the tables of docs/strategies.md.
#
#   scripts/all_strategies.sh                  # all of them, target 30 or 300 candidates, into runs/all_strategies/
#   scripts/all_strategies.sh evolve contrast  # these strategies alone; `mixed` stands for the mixes
#   TARGET=10 CANDIDATES=60 scripts/all_strategies.sh
#   URL=http://127.0.0.1:8000/v1 scripts/all_strategies.sh    # a server that runs already, with a model named smollm2
#   ENGINE=replay scripts/all_strategies.sh evolve            # another engine than the server; replay needs no model
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

# Sentences for template.
sentences='positive: ["The {{ thing }} was {{ good }}, and I would buy it again."]'
sentences+=', negative: ["The {{ thing }} was {{ bad }}, and nobody answered my letter."]'
sentences+=', neutral: ["The {{ thing }} comes in {{ plain }} and costs the same as before."]'
slots='thing: [lamp, rucksack, guided tour, hotel room, novel, kettle]'
slots+=', good: [a joy, well made, better than promised]'
slots+=', bad: [broken on arrival, far too loud, a waste of money]'
slots+=', plain: [two sizes, a paper box, four colours]'

alone() {  # STRATEGY CHOICE OVERRIDE...: a run of one strategy; CHOICE is task=NAME or experiment=NAME
  wanted "$1" && run "$1--${2#*=}" "$2" "generate=$1" student=none "${@:3}"
}

mixed() {  # CHOICE STUDENT STRATEGY...: a run of several strategies with the same weight
  local weights
  weights=$(printf ', %s: 1' "${@:3}")
  wanted mixed && run "mixed--${1#*=}" "$1" "student=$2" "generate.strategies={${weights:2}}"
}

wanted() { [ -z "$names" ] || [[ " $names " == *" $1 "* ]]; }

run() {  # FOLDER OVERRIDE...
  local folder=$out/$1
  [ -f "$folder/summary.json" ] && return
  echo "== $1"
  "$python" -m synthgen run "${@:2}" "${engine[@]}" "run.dir=$folder" \
    "budget.target=$target" "budget.candidates=$candidates" > "$folder.log" 2>&1
  echo "   exit code $?, $(tail -n 1 "$folder.log")"
}

names=$*
if [ -n "${ENGINE:-}" ]; then
  engine=("engine=$ENGINE")
else
  . scripts/cpu_server.sh
  serve "$out"
  engine=(engine=openai "engine.urls=[$url]" engine.model=smollm2)
fi

alone attributes experiment=attributes
alone augment_code experiment=code_tests
alone augment_text task=sentiment
alone back_translation task=sentiment
alone contrast task=sentiment
alone converse experiment=dialogue
alone evolve task=instruction
alone fewshot task=sentiment
alone grounded task=passage_qa task.documents=docs generate.grounded.field=passage
alone label_text task=advice_topic "task.texts=$out/texts.jsonl" "task.eval=$out/eval.jsonl"
alone magpie task=instruction
alone paraphrase task=sentiment
alone prefer task=preference
alone reason experiment=word_sums
alone seeds_only task=sentiment
alone taxonomy task=advice_topic
alone template task=sentiment "task.templates={sentences: {$sentences}, slots: {$slots}}"

mixed task=sentiment frozen fewshot seeds_only taxonomy contrast evolve paraphrase augment_text
mixed task=entities none fewshot seeds_only evolve paraphrase augment_text
mixed task=instruction none fewshot taxonomy evolve magpie
mixed experiment=dialogue none fewshot seeds_only converse

"$python" scripts/strategies_table.py "$out"
