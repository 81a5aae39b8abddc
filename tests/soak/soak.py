# SPDX-License-Identifier: MIT
"""Runs the attacks of scripts/soak.sh and writes what came of them as JSON; the exit code is 1 when one did not come through.

Each part works in a folder of its own, so that two of them run at the same time."""

import argparse
import concurrent.futures
import datetime
import json
import platform
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

import attacks_bits
import attacks_calls
import attacks_state
import attacks_steps
import attacks_stop
from scene import Scene, Tally

# Name of a part: the attack, how often in the long soak, how often in the quick one. 0 in the quick one: left out there.
PARTS = {
    "kills": (attacks_stop.kills, 1000, 24),
    "signals": (attacks_stop.signals, 100, 12),
    "checkpoint-bits": (attacks_bits.checkpoint_flips, 1000, 16),
    "cache-bits": (attacks_bits.cache_flips, 100, 6),
    "data-bits": (attacks_bits.data_flips, 100, 4),
    "types": (attacks_state.types, 200, 16),
    "mutants": (attacks_state.mutants, 1, 1),
    "steps": (attacks_steps.steps, 20000, 1000),
}
# Every call of a run fails once with an I/O error and once with an interruption; of the other failures and of a resume a sample; all calls of
# an evaluation.
EVERY_CALL = 10**9
SAMPLE = 60
QUICK_CALLS = {"EIO": 8, "ENOSPC": 4, "EMFILE": 4, "FULL": 4, "EINTR": 8, "SHORT": 6, "KILL": 8, "TORN": 4}
for _kind in attacks_calls.KINDS:
    PARTS[f"run-{_kind}"] = (lambda scene, count, kind=_kind: attacks_calls.training(scene, kind, count),
                             EVERY_CALL if _kind in ("EIO", "EINTR") else SAMPLE, QUICK_CALLS[_kind])
    PARTS[f"resume-{_kind}"] = (lambda scene, count, kind=_kind: attacks_calls.resuming(scene, kind, count), SAMPLE // 2,
                                QUICK_CALLS[_kind] // 2)
for _kind in ("EIO", "EINTR", "SHORT", "EMFILE"):
    PARTS[f"eval-{_kind}"] = (lambda scene, count, kind=_kind: attacks_calls.evaluating(scene, kind, count), EVERY_CALL, 2)


def run_part(arguments, name):
    attack, long_count, quick_count = PARTS[name]
    count = quick_count if arguments.quick else long_count
    if arguments.count:
        count = arguments.count
    folder = Path(arguments.work) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    try:
        scene = Scene(arguments.bin, folder, arguments.seed, Path(arguments.bin) / "soak_fault_shim.so",
                      Path(arguments.bin) / "soak_fit_manifest")
        tally = attack(scene, count)
    except Exception as error:  # a part that cannot be carried out hides no other
        tally = Tally(name, "to be carried out", tried=1, failures=[f"{type(error).__name__}: {error}"])
    row = {"part": name, **asdict(tally), "seconds": round(time.monotonic() - start, 1)}
    if tally.through == tally.tried:
        shutil.rmtree(folder)
    return row


def say(row):
    mark = "ok    " if row["through"] == row["tried"] else "FAILED"
    print(f"{mark} {row['part']:16} {row['through']:5} of {row['tried']:5}  {row['attack']}  ({row['seconds']:.0f} s)", flush=True)
    for failure in row["failures"]:
        print(f"         {failure}", flush=True)


def processor():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--work", required=True, help="folder to work in; what failed is left there")
    parser.add_argument("--report", required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--count", type=int, default=0, help="attacks of each part instead of its own number")
    parser.add_argument("--parts", nargs="*", default=list(PARTS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    start, rows = time.monotonic(), []
    version = Scene.call(None, [Path(arguments.bin) / "lotformer-train", "--version"]).out.strip()
    report = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "build": version, "processor": processor(),
              "kernel": platform.release(), "quick": arguments.quick, "seed": arguments.seed, "jobs": arguments.jobs, "rows": rows}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run_part, arguments, name) for name in arguments.parts]):
            rows.append(future.result())
            say(rows[-1])
            rows.sort(key=lambda row: list(PARTS).index(row["part"]))
            report["seconds"] = round(time.monotonic() - start)
            # After each part, so that a soak that is broken off leaves what it has found.
            Path(arguments.report).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    tried, through = (sum(row[key] for row in rows) for key in ("tried", "through"))
    print(f"{through} of {tried} attacks came through, {report['seconds']} s, {version}", flush=True)
    return 0 if through == tried else 1


if __name__ == "__main__":
    sys.exit(main())
