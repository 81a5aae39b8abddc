#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/dev/docs_commands.py finds what it is there to find: pages with one fault each are refused.
#   docs_commands_test.sh BIN
# shellcheck disable=SC2016  # backticks of Markdown
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "$1" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/docs" "$folder/src" "$folder/tests/data"
cp -r "$root/scripts" "$root/configs" "$root/CMakePresets.json" "$folder"
cp -r "$root/tests/data/configs" "$folder/tests/data"
failures=0

# refused MODE WORDS PAGE: MODE fails on that page and says WORDS; the page is right without the fault, which the caller sees to.
refused() {
  local status=0
  printf '%s\n' "$3" >"$folder/docs/page.md"
  # shellcheck disable=SC2086  # two words
  "$folder/scripts/dev/docs_commands.py" $1 >"$folder/out" 2>&1 || status=$?
  if ((status != 1)) || ! grep -q -- "$2" "$folder/out"; then
    printf 'FAILED: %s (exit code %s) does not say "%s" of:\n%s\n%s\n' "$1" "$status" "$2" "$3" "$(<"$folder/out")" >&2
    failures=$((failures + 1))
  fi
}
accepted() {
  printf '%s\n' "$2" >"$folder/docs/page.md"
  # shellcheck disable=SC2086  # two words
  "$folder/scripts/dev/docs_commands.py" $1 >"$folder/out" 2>&1 || {
    printf 'FAILED: %s refuses:\n%s\n%s\n' "$1" "$2" "$(<"$folder/out")" >&2
    failures=$((failures + 1))
  }
}
block() { printf '<!-- command: %s -->\n```sh\n%s\n```\n' "$1" "$2"; }

accepted check "$(block 'shown: hours' 'lotformer-train --config lra/text.yaml')"
refused check 'page.md:1: holds a command' $'```\nlotformer-train --config lra/text.yaml\n```'
refused check 'page.md:1: a block of commands without a verdict' $'```sh\nls\n```'
refused check "wants a reason" "$(block shown ls)"
refused check 'no verdict that is known' "$(block 'perhaps: today' ls)"
refused check 'scripts/nothing.sh does not exist' "$(block 'shown: hours' 'scripts/nothing.sh')"
refused check 'there is no preset fast' 'See `cmake --preset fast`.'

accepted "parse $bin" "$(block 'shown: hours' 'lotformer-train --config lra/text.yaml --set model.attention.kind=KIND --set train.lr=1e-3   # a rate')"
refused "parse $bin" 'frobnicate' "$(block 'shown: hours' 'lotformer-eval runs/my-run --frobnicate')"
refused "parse $bin" 'page.md:1:.*train.stepz' 'Then `lotformer-train --config lra/text.yaml --set train.stepz=3`.'
refused "parse $bin" 'softmux' "$(block 'shown: hours' 'lotformer-train --config lra/text.yaml --set model.attention.kind=softmux')"
refused "parse $bin" 'no key data.toot' 'The folder is `data.toot`.'
refused "parse $bin" 'option --every-thing' 'Say `--every-thing`.'
refused "parse $bin" 'mammal' "$(block 'shown: hours' 'scripts/sweep.sh --out x --attention mammal')"

accepted "run $bin" "$(block run 'lotformer-data check --task custom --root data/mine')"
refused "run $bin" 'page.md:2: exit code 3' "$(block run 'lotformer-data check --task custom --root data/nowhere')"
((failures == 0)) || exit 1
echo "faults of pages are found"
