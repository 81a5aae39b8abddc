#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/docs.sh builds the site of these pages, and refuses one with a link to nothing, an anchor that is not there, or a picture from a
# network. Skipped (77) where its tools cannot be had.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

status=0
"$root/scripts/docs.sh" --out "$folder/site" || status=$?
((status != 77)) || { echo "skipped: the site's tools cannot be had here"; exit 77; }
((status == 0)) || fail "scripts/docs.sh ended with $status"
for page in index lotformer config adding-an-attention kernels/index; do
  [[ -s $folder/site/$page.html ]] || fail "no page $page.html"
done
grep -q 'Sinkformer' "$folder/site/search/search_index.js" || fail "the search does not know Sinkformer"

# The same tools on a copy with one fault each.
mkdir -p "$folder/copy/build/docs"
(cd "$root" && git ls-files -z README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs scripts include src/ops/pivot configs tests/ops tests/scripts | xargs -0 cp --parents -t "$folder/copy")
ln -s "$root/build/docs/venv" "$folder/copy/build/docs/venv"
refused() {   # refused WORDS LINE: with LINE at the end of docs/tasks.md it fails and says WORDS
  cp "$root/docs/tasks.md" "$folder/copy/docs/tasks.md"
  printf '\n%s\n' "$2" >>"$folder/copy/docs/tasks.md"
  "$folder/copy/scripts/docs.sh" >"$folder/log" 2>&1 && fail "accepted: $2"
  grep -q -- "$1" "$folder/log" || { cat "$folder/log"; fail "does not say '$1' of: $2"; }
}
refused 'docs/tasks.md:.*nowhere.md, which does not exist' 'See [this](nowhere.md).'
refused 'no-such-part' 'See [that](data.md#no-such-part).'
refused 'would load https://example.org/a.png' '<img src="https://example.org/a.png" alt="a">'
echo "the site is built, and three faults are refused"
