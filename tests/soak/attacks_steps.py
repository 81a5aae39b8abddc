# SPDX-License-Identifier: MIT
"""Many small steps: memory and descriptors must not grow."""

import os
import statistics
import subprocess
import time

from scene import Tally


def look(pid):
    """Resident bytes and open descriptors of a process, or None when it has ended."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
        return None


def steps(scene, count):
    """A run of `count` steps with a checkpoint every 50 and an evaluation every 200 of them."""
    tally = Tally("many steps", "resident memory of the last quarter at most 2 % above that of the second, no more descriptors held than there")
    run = scene.folder / "steps"
    command = scene.train_command(run, settings={"train.steps": count, "train.checkpoint_every": 50, "train.eval_every": 200,
                                                 "train.log_every": 50})
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen = []
    while process.poll() is None:
        found = look(process.pid)
        if found is not None:
            seen.append(found)
        time.sleep(0.1)
    errors = process.stderr.read()
    tally.count(problem_of(process.returncode, seen, errors, tally))
    return tally


def problem_of(code, seen, errors, tally):
    if code != 0:
        return f"ended with {code}: {errors.strip().splitlines()[-1:]}"
    if len(seen) < 16:
        return "too few looks at the process; take more steps"
    quarter = len(seen) // 4
    second, last = seen[quarter : 2 * quarter], seen[3 * quarter : -1]
    before, after = (statistics.median(bytes_ for bytes_, _ in part) for part in (second, last))
    # The fewest of each quarter: a leak lifts them for good, whereas the most tell only whether a look fell into the milliseconds in which
    # a log line or a checkpoint was being written.
    open_before, open_after = (min(descriptors for _, descriptors in part) for part in (second, last))
    tally.figures.update({"MiB in the second quarter": round(before / 2**20, 1), "MiB in the last quarter": round(after / 2**20, 1),
                          "descriptors": open_after})
    if after > 1.02 * before:
        return f"memory grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB"
    return None if open_after <= open_before else f"descriptors grew from {open_before} to {open_after}"
