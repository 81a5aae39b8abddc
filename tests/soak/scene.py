# SPDX-License-Identifier: MIT
"""What every attack of the soak needs: the programs, small data, a run that nobody disturbed, and what "the same bytes" means."""

import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "data" / "configs" / "tiny.yaml"
# Checkpoints lie between two lines of the log and two evaluations, so that what a checkpoint must remember of both is put to use.
SETTINGS = {"train.steps": 30, "train.checkpoint_every": 5, "train.eval_every": 9, "train.log_every": 7, "train.keep": 3, "train.threads": 1}
SECONDS_AT_MOST = 120


@dataclass
class Ended:
    """How a program ended: `code` is negative for a death by signal, as subprocess says it."""

    code: int
    out: str
    err: str

    def last_line(self):
        lines = self.err.strip().splitlines()
        return lines[-1][:300] if lines else ""


@dataclass
class Tally:
    """One row of the report: how often an attack was tried and came through, and the first failures in words."""

    attack: str
    wanted: str
    tried: int = 0
    through: int = 0
    failures: list = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def count(self, problem):
        """`problem`: None when the attack came through, else what was seen."""
        self.tried += 1
        if problem is None:
            self.through += 1
        elif len(self.failures) < 20:
            self.failures.append(problem)


class Scene:
    """A folder with generated ListOps and an undisturbed run of it.

    bin: folder of the programs; folder: where everything is put; seed: of all that is drawn; shim: the library of fault_shim.c.
    """

    def __init__(self, bin_folder, folder, seed, shim, manifest):
        self.bin, self.folder, self.seed, self.shim, self.manifest = Path(bin_folder), Path(folder).resolve(), seed, shim, manifest
        self.data = self.folder / "data"
        self.call([self.bin / "lotformer-data", "generate", "--task", "listops", "--root", self.data, "--train", "400", "--val", "60",
                   "--test", "50", "--min-length", "5", "--max-length", "100", "--max-depth", "3", "--max-args", "4"], wanted=0)
        self.reference = self.folder / "reference"
        start = time.monotonic()
        self.train(self.reference, wanted=0)
        self.train_seconds = time.monotonic() - start
        self.bytes = run_bytes(self.reference)

    def random(self, *what):
        """Random numbers that depend on the seed and on what they are for, not on the order of the attacks."""
        return random.Random(f"{self.seed} {what}")

    def call(self, command, wanted=None, env=None):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace", check=False,
                              stdin=subprocess.DEVNULL, timeout=SECONDS_AT_MOST, env={**os.environ, **(env or {})})
        ended = Ended(done.returncode, done.stdout, done.stderr)
        if wanted is not None and ended.code != wanted:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {ended.code}, not {wanted}: {ended.err}")
        return ended

    def train_command(self, run, *more, data=None, settings=None):
        command = [self.bin / "lotformer-train", "--config", CONFIG, "--device", "cpu", "--run-dir", run, "--set",
                   f"data.root={data or self.data}"]
        for key, value in {**SETTINGS, **(settings or {})}.items():
            command += ["--set", f"{key}={value}"]
        return [str(part) for part in [*command, *more]]

    def train(self, run, *more, wanted=None, env=None, data=None):
        return self.call(self.train_command(run, *more, data=data), wanted, env)

    def evaluate(self, path, env=None):
        return self.call([self.bin / "lotformer-eval", path, "--device", "cpu", "--json"], env=env)

    def copy_of_reference(self, name, unfinished=True):
        """A copy of the undisturbed run; without results.json the same command goes on from the newest checkpoint."""
        run = self.folder / name
        shutil.copytree(self.reference, run)
        if unfinished:
            (run / "results.json").unlink()
        return run

    def ends_as_reference(self, run, *more, data=None):
        """Runs the command to its end. None when the run is then, byte for byte, the undisturbed one; else what is wrong."""
        done = self.train(run, *more, data=data)
        if done.code != 0:
            return f"the same command ended with {done.code}: {done.last_line()}"
        return difference(run_bytes(run), self.bytes)


def newest_checkpoint(run):
    return max(path for path in (Path(run) / "checkpoints").iterdir() if path.name.startswith("step-"))


def run_bytes(run):
    """Weights, optimiser, state and metrics of a run, and the names of its checkpoints."""
    newest = newest_checkpoint(run)
    found = {name: (newest / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors", "state.json")}
    found["metrics.jsonl"] = (Path(run) / "metrics.jsonl").read_bytes()
    # What was found damaged is kept under another name, for whoever wants to look at it.
    found["checkpoints"] = sorted(path.name for path in (Path(run) / "checkpoints").iterdir() if not path.name.startswith("discarded-"))
    return found


def difference(found, wanted):
    different = [name for name, content in wanted.items() if found.get(name) != content]
    return f"other than undisturbed: {', '.join(different)}" if different else None


def flip_a_bit(path, rng):
    """Flips a random bit of a file and returns its place."""
    size = path.stat().st_size
    place, bit = rng.randrange(size), rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))
    return place
