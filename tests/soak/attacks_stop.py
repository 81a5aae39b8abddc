# SPDX-License-Identifier: MIT
"""Processes that are stopped: kill -9 and signals at random moments."""

import shutil
import signal
import subprocess
import time

from scene import SECONDS_AT_MOST, Tally, difference, run_bytes

POLITE = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]
INTERRUPTED = 75


def start(scene, run, log):
    with log.open("ab") as out:
        return subprocess.Popen(scene.train_command(run), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def kills(scene, count):
    """`count` kills, at most eight a run; then the same command ends the run."""
    tally = Tally("kill -9 at a random moment", "the same command goes on and ends in the bytes of an undisturbed run")
    rng = scene.random("kills")
    span = scene.train_seconds
    while tally.tried < count:
        run, log = scene.folder / f"kill-{tally.tried}", scene.folder / f"kill-{tally.tried}.log"
        landed = 0
        for _ in range(min(8, count - tally.tried)):
            process = start(scene, run, log)
            time.sleep(span * rng.uniform(0.2, 1.1))
            process.kill()
            hit = process.wait() == -signal.SIGKILL
            landed += hit
            # A start takes as long as the machine's other work lets it: the kills follow.
            span *= 1.02 if hit else 0.85
        problem = scene.ends_as_reference(run)
        # A process that had ended before its kill is no attack.
        for _ in range(landed):
            tally.count(problem)
        if landed == 0:
            tally.figures["too late"] = tally.figures.get("too late", 0) + 1
            if problem is not None:
                tally.failures.append(problem)
        if problem is None:
            shutil.rmtree(run)
            log.unlink()
    return tally


def end_of(scene, run, code):
    """What a signal saved is a checkpoint more, so the names of the checkpoints are not compared."""
    if code == INTERRUPTED:
        done = scene.train(run)
        if done.code != 0:
            return f"the same command ended with {done.code}: {done.last_line()}"
    wanted = {name: content for name, content in scene.bytes.items() if name != "checkpoints"}
    return difference(run_bytes(run), wanted)


def signals(scene, count):
    """Every polite signal at random moments: exit 75 (or 0 when the run was over), and the same command goes on."""
    tally = Tally("TERM, INT, HUP, USR1, USR2, XCPU at a random moment", "exit 75 after a checkpoint, then as undisturbed")
    rng = scene.random("signals")
    for number in range(count):
        run, log = scene.folder / f"signal-{number}", scene.folder / f"signal-{number}.log"
        process = start(scene, run, log)
        # Before the program's first line, while libraries are loaded, the system's own rule holds, which is death by the signal.
        while process.poll() is None and log.stat().st_size == 0:
            time.sleep(0.01)
        time.sleep(scene.train_seconds * rng.uniform(0, 0.7))
        sent = POLITE[number % len(POLITE)]
        process.send_signal(sent)
        code = process.wait(timeout=SECONDS_AT_MOST)
        problem = None if code in (INTERRUPTED, 0) else f"{sent.name}: ended with {code}"
        if problem is None:
            problem = end_of(scene, run, code)
        tally.count(problem)
        if problem is None:
            shutil.rmtree(run)
            log.unlink()
    return tally
