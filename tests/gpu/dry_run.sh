#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# dry_run.sh PROGRAMS FOLDER: scripts/gpu_session.sh as it will be used, but without a GPU: prepared from the built programs, then run in a copy that holds
# what travels and nothing else (no repository, no set-up, no build).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs=$1 folder=$2
rm -rf "$folder"
mkdir -p "$folder/copy"
LOTFORMER_GPU_SESSION=$folder/copy/gpu-session "$root/scripts/gpu_session.sh" prepare --from "$programs" --emulated
cp -r "$root/scripts" "$root/configs" "$folder/copy/"
torch=$(ldd "$programs/lotformer-train" | awk '$1 == "libtorch_cpu.so" { print $3 }')
env -u LOTFORMER_DEPS_DIR LOTFORMER_TORCH="${torch%/lib/*}" "$folder/copy/scripts/gpu_session.sh" run "$folder/out" --cpu-dry-run --seconds 1000
python3 - "$folder/out/report.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["passed"] and report["emulated"], report["stages"]
stages = {stage["name"]: stage["exit_code"] for stage in report["stages"]}
assert set(stages) == {"correctness", "doctor", "framework", "steps", "listops-lotformer", "listops-softmax"}, stages
assert report["doctor"][0]["problems"] == 0, report["doctor"]
assert len(report["checks"]["framework"]) == 5 * 2 + 2 + 3, report["checks"]["framework"]
assert {row["task"] for row in report["steps"]} == {"listops", "text", "retrieval", "image", "pathfinder32"}, report["steps"]
assert all(training["last"] for training in report["long_trainings"]), report["long_trainings"]
PY
tar -tzf "$folder/out/session.tar.gz" >/dev/null
