# SPDX-License-Identifier: MIT
"""File-system calls that fail: every k-th call of a run below its folder, through fault_shim.c."""

import os
import re
import shutil
import signal

from scene import Tally, newest_checkpoint

DISK = 5
# What must not be noticed at all, and what may end the program.
TRANSPARENT = {"EINTR", "SHORT"}
DEADLY = {"KILL", "TORN"}
WANTED = {
    "EIO": "exit 0 or 5, then as undisturbed",
    "ENOSPC": "exit 0 or 5, then as undisturbed",
    "EMFILE": "exit 0 or 5, then as undisturbed",
    "FULL": "every write from there on: exit 0 or 5, with room again as undisturbed",
    "EINTR": "exit 0, as undisturbed",
    "SHORT": "exit 0, as undisturbed",
    "KILL": "killed before the call, then as undisturbed",
    "TORN": "killed after half of a write, then as undisturbed",
}


def shim_environment(scene, run, kind, at, log):
    # realpath() of a folder that is not there fails, so the shim is given the folder above and the run alone lies in it.
    everything = kind == "FULL"
    return {"LD_PRELOAD": str(scene.shim), "SOAK_ROOT": str(run.parent), "SOAK_KIND": "ENOSPC" if everything else kind,
            "SOAK_AT": str(at), "SOAK_FOR": "0" if everything else "1", "SOAK_LOG": str(log)}


def count_calls(scene, prepare, command):
    """Calls of an undisturbed run below its folder."""
    box = scene.folder / "counted"
    run = box / "run"
    log = scene.folder / "counted.log"
    prepare(run)
    done = command(run, shim_environment(scene, run, "NONE", 0, log))
    if done.code != 0:
        raise RuntimeError(f"the counted run ended with {done.code}: {done.err}")
    shutil.rmtree(box)
    return int(re.findall(r"calls (\d+)", log.read_text())[-1])


def spread(scene, kind, calls, count):
    """Numbers of the calls to fail: all of them, or `count` spread over all, other ones for another seed."""
    if count >= calls:
        return range(1, calls + 1)
    rng = scene.random("calls", kind)
    return sorted({1 + int((number + rng.random()) * calls / count) for number in range(count)})


def verdict(scene, run, kind, done, fault, whole_before):
    """None when a run whose call failed did what it should; else what is wrong."""
    if not fault:
        return None if done.code == 0 else f"no call failed, yet it ended with {done.code}"
    if kind in DEADLY:
        allowed = {-signal.SIGKILL}
    else:
        allowed = {0} if kind in TRANSPARENT else {0, DISK}
    if done.code not in allowed:
        return f"ended with {done.code}: {done.last_line()}"
    lost = [name for name in whole_before if not (run / "checkpoints" / name).exists()]
    if lost and done.code != 0:
        return f"checkpoints are gone: {', '.join(lost)}"
    return scene.ends_as_reference(run)


def attack(scene, kind, count, what, prepare, command):
    tally = Tally(f"{kind}, {what}", WANTED[kind])
    calls = count_calls(scene, prepare, command)
    for number in spread(scene, kind, calls, count):
        box = scene.folder / f"call-{kind}-{number}"
        run, log = box / "run", scene.folder / f"call-{kind}-{number}.log"
        prepare(run)
        newest = [newest_checkpoint(run).name] if (run / "checkpoints").exists() else []
        done = command(run, shim_environment(scene, run, kind, number, log))
        fault = re.findall(r"fault \S+ in (\S+), call (\d+)", log.read_text()) if log.exists() else []
        if not fault and done.code == 0:
            # The fault does not apply to this call (a rename is not interrupted), or the run had fewer.
            tally.figures["no such fault in the call"] = tally.figures.get("no such fault in the call", 0) + 1
        else:
            problem = verdict(scene, run, kind, done, fault, newest)
            tally.count(problem and f"call {number} ({fault[0][0] if fault else '?'}): {problem}")
            if problem is not None:
                continue
        shutil.rmtree(box)
        if log.exists():
            log.unlink()
    tally.figures["calls of a run"] = calls
    return tally


def training(scene, kind, count):
    def prepare(run):
        os.makedirs(run.parent)

    return attack(scene, kind, count, "a call of a whole run", prepare, lambda run, env: scene.train(run, env=env))


def resuming(scene, kind, count):
    def prepare(run):
        os.makedirs(run.parent)
        shutil.copytree(scene.reference, run)
        (run / "results.json").unlink()

    return attack(scene, kind, count, "a call of a resume", prepare, lambda run, env: scene.train(run, env=env))


def evaluating(scene, kind, count):
    """The evaluation changes nothing in the run, whatever fails."""

    def prepare(run):
        os.makedirs(run.parent)
        shutil.copytree(scene.reference, run)

    tally = attack(scene, kind, count, "a call of an evaluation", prepare, lambda run, env: scene.evaluate(run, env=env))
    return tally


KINDS = ["EIO", "ENOSPC", "EMFILE", "FULL", "EINTR", "SHORT", "KILL", "TORN"]
