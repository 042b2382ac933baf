#!/usr/bin/env bash
# A run for the night: `scripts/overnight.sh [OVERRIDES]`. Does what a person would do who is asleep: when the engine
# has failed past its restart budget (exit code 4), waits a while and goes on, a few times. Any other end is left alone.
# TRIES and WAIT (seconds) may be set; synthgen is the one on the PATH, or that of this clone.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
command -v synthgen >/dev/null || PATH="$here/.venv/bin:$PATH"
tries=${TRIES:-5} wait=${WAIT:-300}
log=$(mktemp "${TMPDIR:-/tmp}/synthgen-overnight.XXXXXX")
trap 'rm -f "$log"' EXIT

synthgen run "$@" | tee "$log"
code=${PIPESTATUS[0]}
while [ "$code" -eq 4 ] && [ "$tries" -gt 0 ]; do
  again=$(grep '^synthgen resume ' "$log" | tail -n 1)  # the last line printed is the command that goes on
  [ -n "$again" ] || break
  tries=$((tries - 1))
  echo "the engine failed; in $wait s: $again ($tries tries left after that)"
  sleep "$wait"
  eval "$again" | tee "$log"
  code=${PIPESTATUS[0]}
done
exit "$code"
