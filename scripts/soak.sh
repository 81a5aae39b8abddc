#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Attacks runs, checkpoints, caches and data with kills, signals, flipped bits, failing file-system calls and forged state, and says how many came
# through: what docs/reliability.md reports. Works on small generated data with the programs of build/release; needs python3, no network.
#   scripts/soak.sh [--quick] [--seed N] [--jobs N] [--parts "kills steps"] [--count N] [--out DIR] [--write]
#     --quick   a sample of every attack, minutes on two cores; without it 1,000 kills, 1,000 flipped bits, every file-system call of a run with two
#               kinds of failure (and samples of others), 20,000 steps: about an hour of two idle cores
#     --seed    of all that is drawn                                                              (default: 0)
#     --jobs    attacks at the same time                                                          (default: cores)
#     --parts   some of the attacks; a wrong name lists them
#     --count   how often each, instead of its own number
#     --out     folder for soak.json and for what failed, which must not be there                 (default: a temporary folder)
#     --write   writes docs/reliability.md from the report
# Exit code: 0 when every attack came through, 1 when one did not, 2 for mistakes.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

arguments=() parts=() out="" write=false
while (($# > 0)); do
  case $1 in
    --seed | --jobs | --parts | --count | --out) (($# > 1)) || { say "error: $1 needs a value"; exit 2; } ;;&
    --quick) arguments+=(--quick); shift ;;
    --write) write=true; shift ;;
    --seed | --jobs | --count) [[ $2 =~ ^[0-9]+$ ]] || { say "error: $1 $2: a whole number is wanted"; exit 2; }
      arguments+=("$1" "$2"); shift 2 ;;
    --parts) read -r -a parts <<<"${2//,/ }"; shift 2 ;;
    --out) out=$2; shift 2 ;;
    -h | --help) script_help; exit 0 ;;
    *) say "error: $1: no such option; scripts/soak.sh --help"; exit 2 ;;
  esac
done
command -v python3 >/dev/null || { say "error: python3 is needed"; exit 2; }
for program in lotformer-train lotformer-eval lotformer-data soak_fault_shim.so soak_fit_manifest; do
  [[ -e $bin/$program ]] || { say "error: $bin/$program is not built; scripts/test.sh builds everything"; exit 2; }
done
if [[ -n $out ]]; then
  [[ ! -e $out ]] || { say "error: --out $out is there already"; exit 2; }
  mkdir -p "$out"
else
  out=$(mktemp -d "${TMPDIR:-/tmp}/lotformer-soak.XXXXXX")
fi
[[ " ${arguments[*]} " == *" --jobs "* ]] || arguments+=(--jobs "$(nproc)")
((${#parts[@]} == 0)) || arguments+=(--parts "${parts[@]}")

status=0
PYTHONDONTWRITEBYTECODE=1 python3 "$root/tests/soak/soak.py" --bin "$bin" --work "$out/work" --report "$out/soak.json" "${arguments[@]}" || status=$?
if $write && [[ -e $out/soak.json ]]; then
  PYTHONDONTWRITEBYTECODE=1 python3 "$root/tests/soak/write_reliability.py" "$out/soak.json" "$root/docs/reliability.md"
fi
if ((status == 0)) && [[ $out == "${TMPDIR:-/tmp}"/lotformer-soak.* ]]; then
  rm -rf -- "$out"
else
  say "Report and what is left of failed attacks: $out"
fi
exit "$status"
