# SPDX-License-Identifier: MIT
"""Writes docs/reliability.md from the report of scripts/soak.sh: write_reliability.py soak.json reliability.md"""

import json
import sys
from pathlib import Path

HEAD = """# Reliability: what was attacked, and what came through
This page is written by `scripts/soak.sh --write`, which ran the attacks; nothing here is typed by hand. {kind} of {date}, build `{build}`, {processor},
Linux {kernel}, {jobs} attacks at a time, seed {seed}, {minutes} minutes: **{through} of {tried} came through**. CI runs `scripts/soak.sh --quick`, a sample of
the same attacks.

Every attack works on a run of 30 steps of LOTFormer on small generated ListOps, with a checkpoint every 5 steps. *As undisturbed* means: after the attack the same
command is given again, ends with exit code 0, and weights, optimiser, state, `metrics.jsonl` and the names of the checkpoints are byte for byte those of a run
that nobody disturbed. Failing calls are injected by a shim that is loaded before the C library (`tests/soak/fault_shim.c`) and counts the calls below the run's
folder only; each call fails once, except under FULL.

| attack | wanted | tried | came through | figures |
| --- | --- | --- | --- | --- |
"""
TAIL = """
## Not tried
Power cuts (fsync is called where it must be, no disk was switched off), NFS and other network file systems, GPUs, several hosts. Attacks on processes of the
data generator and on two trainers in one folder are in the test suite (`tests/cli`, `tests/lra_data`), as are injected non-finite numbers and out-of-memory
errors (`tests/train`). What is trusted and what is not: [security.md](security.md).
"""


def cell(text):
    return str(text).replace("|", "\\|")


def figures(row):
    return ", ".join(f"{name}: {value}" for name, value in row["figures"].items())


def page(report):
    tried, through = (sum(row[key] for row in report["rows"]) for key in ("tried", "through"))
    text = HEAD.format(kind="A short soak (`--quick`)" if report["quick"] else "A long soak", minutes=round(report["seconds"] / 60), tried=f"{tried:,}",
                       through=f"{through:,}", **{key: report[key] for key in ("date", "build", "processor", "kernel", "jobs", "seed")})
    for row in report["rows"]:
        columns = [row["attack"], row["wanted"], f"{row['tried']:,}", f"{row['through']:,}", figures(row)]
        text += "| " + " | ".join(map(cell, columns)) + " |\n"
    failures = [(row["attack"], failure) for row in report["rows"] for failure in row["failures"]]
    if failures:
        text += "\n## What did not come through\n" + "".join(f"- {attack}: `{failure}`\n" for attack, failure in failures)
    return text + TAIL


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), encoding="utf-8")
