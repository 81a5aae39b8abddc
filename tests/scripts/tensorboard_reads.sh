#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains a little, is stopped, goes on, and has the tensorboard package read what the run has written for it. Fetches the package.
#   tests/scripts/tensorboard_reads.sh PROGRAMS    PROGRAMS: folder of lotformer-train
set -euo pipefail
programs=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
train() {
  "$programs/lotformer-train" --config "$here/../data/configs/tiny.yaml" --set train.tensorboard=true --run-dir "$work/run" --device cpu "$@" 2>&1 | tail -n 3
}
train
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tensorboard==2.20.0
"$work/venv/bin/python" "$here/tensorboard_reads.py" "$work/run"
