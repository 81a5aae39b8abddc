#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiler launcher of the CUDA files (CMake: CUDA_COMPILER_LAUNCHER): runs the compiler with a report of registers, stack and spills,
# which goes beside the object as OBJECT.resources instead of into the build's output. Read by scripts/dev/check_cuda_resources.sh.
set -uo pipefail
output=
arguments=("$@")
for ((i = 0; i < $#; ++i)); do
  [[ ${arguments[i]} != -o ]] || output=${arguments[i + 1]}
done
if [[ $output != *.o ]]; then   # the compiler checks of CMake, linking
  exec "$@"
fi
report=$output.resources
"$@" -Xptxas -v 2>"$report.all"
status=$?
pattern='^ptxas info|bytes stack frame'
grep -E "$pattern" "$report.all" >"$report"
grep -vE "$pattern" "$report.all" >&2
rm -f "$report.all"
exit $status
