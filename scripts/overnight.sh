#!/usr/bin/env bash
# Run synthgen without supervision, for example at night: `scripts/overnight.sh [OVERRIDES]`. When the engine has failed
# more often than its restart budget allows (exit code 4), wait and resume the run. Stop after any other exit code.
# TRIES sets the most resumes, WAIT the seconds before each. Use the synthgen on the PATH, or else that of this clone.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
command -v synthgen >/dev/null || PATH="$here/.venv/bin:$PATH"
tries=${TRIES:-5} wait=${WAIT:-300}
log=$(mktemp "${TMPDIR:-/tmp}/synthgen-overnight.XXXXXX")
trap 'rm -f "$log"' EXIT

synthgen run "$@" | tee "$log"
code=${PIPESTATUS[0]}
while [ "$code" -eq 4 ] && [ "$tries" -gt 0 ]; do
  again=$(grep '^synthgen resume ' "$log" | tail -n 1)  # the last line printed is the command that continues the run
  [ -n "$again" ] || break
  tries=$((tries - 1))
  echo "the engine failed; waiting $wait s, then running: $again ($tries more tries after this one)"
  sleep "$wait"
  eval "$again" | tee "$log"
  code=${PIPESTATUS[0]}
done
exit "$code"
