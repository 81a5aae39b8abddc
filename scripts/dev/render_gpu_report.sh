#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The table of docs/benchmarks/gpu.md from a report of scripts/gpu_session.sh.
#   scripts/dev/render_gpu_report.sh                 from the newest docs/benchmarks/*-gpu-*.json; without one every figure is "unmeasured"
#   scripts/dev/render_gpu_report.sh REPORT          copies the report there first, as DATE-gpu-NAME-COMMIT.json
#   scripts/dev/render_gpu_report.sh --check         fails when the page is not what the newest report gives
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
exec python3 "$root/scripts/dev/gpu_report.py" render "$root" "$@"
