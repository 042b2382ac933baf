#!/usr/bin/env bash
# Update requirements/cpu.lock from pyproject.toml. Pinned versions that still fit stay; UPGRADE=1 takes the newest
# version of every package. pip must be configured to find a CPU wheel of torch (see the README): pip's find-links and
# extra index are passed on to the resolver.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install -qq uv

from_pip=()
find_links=${PIP_FIND_LINKS:-$("$tools/bin/pip" config get global.find-links 2>/dev/null || true)}
extra_index=${PIP_EXTRA_INDEX_URL:-}
[ -n "$find_links" ] && from_pip+=(--find-links "$find_links")
[ -n "$extra_index" ] && from_pip+=(--extra-index-url "$extra_index" --index-strategy unsafe-best-match)

[ -n "${UPGRADE:-}" ] || sed -E 's/^(torch==[0-9.]+)$/\1+cpu/' requirements/cpu.lock > "$tools/lock.txt"

"$tools/bin/uv" pip compile pyproject.toml --quiet \
  --extra cpu --extra bundled --extra tracking --extra ray --extra sweeps --extra dev \
  --override requirements/overrides.txt --python-version 3.11 \
  --no-header --no-annotate --no-emit-find-links --no-emit-index-url \
  "${from_pip[@]}" --output-file "$tools/lock.txt"

{
  echo "# Made by scripts/lock.sh; install with: pip install --no-deps -r requirements/cpu.lock"
  sed -E 's/^(torch==[0-9.]+)\+cpu$/\1/' "$tools/lock.txt"
} > requirements/cpu.lock
echo "requirements/cpu.lock: $(grep -c == requirements/cpu.lock) packages"
