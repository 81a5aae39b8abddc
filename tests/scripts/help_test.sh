#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the programs say about themselves: --help fits a screen and its examples parse, --man is roff without a warning, --completion completes.
#   help_test.sh BIN
set -euo pipefail
bin=$(cd "$1" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

helps=(lotformer-train lotformer-eval lotformer-report lotformer-doctor lotformer-data "lotformer-data generate" "lotformer-data check"
       "lotformer-data stats" "lotformer-data show" lotformer-bench "lotformer-bench attention" "lotformer-bench memory" "lotformer-bench step")

# --- help ---------------------------------------------------------------------------------------------------------------------------
for words in "${helps[@]}"; do
  read -ra command <<<"$words"
  "$bin/${command[0]}" "${command[@]:1}" --help >"$folder/help"
  lines=$(wc -l <"$folder/help")
  ((lines <= 40)) || fail "$words --help has $lines lines, more than 40"
  wide=$(awk 'length > 100' "$folder/help")
  [[ -z $wide ]] || fail "$words --help is wider than 100 columns: $wide"
  grep -q '^Usage: lotformer-' "$folder/help" || fail "$words --help has no line of usage"
  sed -n '/^Examples:$/,$p' "$folder/help" | tail -n +2 >"$folder/examples"
  examples=$(grep -c '^  lotformer-' "$folder/examples" || true)
  ((examples >= 2)) || fail "$words --help ends with $examples examples, not two or three"
  while IFS= read -r line; do
    read -ra example <<<"${line%%  #*}"
    "$bin/${example[0]}" --parse-only "${example[@]:1}" >"$folder/out" 2>&1 || fail "$words --help: does not parse: $line: $(<"$folder/out")"
    if [[ ${example[0]} == lotformer-train ]]; then
      "$bin/lotformer-train" "${example[@]:1}" --print-config >/dev/null 2>"$folder/out" || fail "$line: $(<"$folder/out")"
    fi
  done <"$folder/examples"
done

# --- manual -------------------------------------------------------------------------------------------------------------------------
for program in train eval report doctor data bench; do
  "$bin/lotformer-$program" --man >"$folder/lotformer-$program.1"
  head -n 1 "$folder/lotformer-$program.1" | grep -q "^.TH \"LOTFORMER-${program^^}\" 1 " || fail "lotformer-$program --man does not begin with .TH"
  if command -v groff >/dev/null; then
    groff -man -ww -Tutf8 "$folder/lotformer-$program.1" 2>"$folder/warnings" >"$folder/page"
    [[ ! -s $folder/warnings ]] || fail "lotformer-$program --man: $(head -n 3 "$folder/warnings")"
    # Each option of --help stands there.
    while read -r option; do
      grep -q -- "^\.B.*${option//-/\\\\-}" "$folder/lotformer-$program.1" || fail "lotformer-$program --man lacks $option"
    done < <("$bin/lotformer-$program" --help | grep -oE '^  (-h, )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
  fi
done

# --- completion ---------------------------------------------------------------------------------------------------------------------
# completed WORDS...: what bash would offer for the last of them, split as bash splits a command line.
completed() {
  local program=$1
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=() COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
  "_${program//-/_}" 2>/dev/null
  echo "${COMPREPLY[*]}"
}
for program in train eval report doctor data bench; do
  "$bin/lotformer-$program" --completion bash >"$folder/completion"
  # shellcheck source=/dev/null
  source "$folder/completion"
  complete -p "lotformer-$program" >/dev/null || fail "the completion of lotformer-$program is not registered"
done
offers() {   # offers 'WORDS THAT IT OFFERS' WORDS...
  local want=$1 found
  shift
  found=$(completed "$@")
  [[ $found == "$want" ]] || fail "'$*' completes to '$found', not '$want'"
}
offers '--print-config' lotformer-train --pri
offers 'lotformer' lotformer-train --config lra/text.yaml --set model.attention.kind = lot
offers 'model.attention.kind=' lotformer-train --set model.attention.ki
offers 'false true' lotformer-train --set data.bucket = ''
offers 'lra/listops.yaml' lotformer-train --config lra/listo
offers 'cuda cuda:0' lotformer-train --device cu
offers '0' lotformer-train --device cuda : ''
offers 'cpu' lotformer-eval runs/x --device = cp
offers 'best' lotformer-eval --checkpoint b
offers 'attention' lotformer-bench at
offers 'sinkformer' lotformer-bench attention --modules softmax si
offers 'fp32 bf16' lotformer-bench memory --precision ''
offers 'pathx' lotformer-data generate --task pathx
offers 'data.val=' lotformer-data check --set data.va
offers '' lotformer-report --out ''
if command -v zsh >/dev/null; then
  for program in train data; do
    "$bin/lotformer-$program" --completion zsh >"$folder/zsh"
    zsh -f -c "autoload -Uz compinit && compinit -D && source $folder/zsh" 2>"$folder/warnings" || fail "zsh does not take the completion of lotformer-$program"
    [[ ! -s $folder/warnings ]] || fail "zsh: $(<"$folder/warnings")"
  done
fi

((failures == 0)) || exit 1
echo "help, manual and completion of six programs are right"
