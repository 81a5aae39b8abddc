# SPDX-License-Identifier: MIT
"""Runs the documentation's blocks of commands, each in a folder of its own that looks like the repository of somebody who has trained."""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

# What turns any training into one of seconds.
SMALL = ["train.steps=4", "train.warmup_steps=1", "train.batch_size=4", "train.accumulate=1", "train.threads=1", "train.eval_every=2",
         "train.checkpoint_every=2", "train.plateau_steps=0", "eval.max_examples=16", "eval.batch_size=8"]
PRINTS = "--help|-h|--help-config*|--print-config|--version|--man|--completion*"
SETS = [
    ("listops", ["--train", "64", "--val", "16", "--test", "16", "--min-length", "20", "--max-length", "80", "--max-depth", "4"]),
    ("text", ["--train", "64", "--test", "32"]),
    ("image", ["--train", "90", "--test", "20"]),
]


def link_programs(folder, binaries):
    """bin/ with every program; lotformer-train gets the small settings behind what it is given."""
    target = folder / "build/release/bin"
    target.mkdir(parents=True)
    for program in binaries.glob("lotformer-*"):
        (target / program.name).symlink_to(program.resolve())
    train = target / "lotformer-train"
    real = train.resolve()
    train.unlink()
    settings = " ".join(f"--set {setting}" for setting in SMALL)
    train.write_text(f'#!/usr/bin/env bash\nfor word in "$@"; do\n  case $word in {PRINTS}) exec {real} "$@" ;; esac\ndone\n'
                     f'exec {real} "$@" {settings}\n', encoding="utf-8")
    train.chmod(0o755)


def make_custom(folder):
    """A task of one's own: is there an x in the word?"""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    for split, rows in (("train", 40), ("val", 8), ("test", 8)):
        words = ["".join(draw.choice("abcdefgx") for _ in range(12)) for _ in range(rows)]
        (folder / f"{split}.tsv").write_text("".join(f"{int('x' in word)}\t{word}\n" for word in words), encoding="utf-8")


def call(command, folder):
    environment = dict(os.environ, PATH=f"{folder / 'build/release/bin'}:{os.environ['PATH']}")
    return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800, check=False)


def must(command, folder):
    done = call(command, folder)
    if done.returncode != 0:
        raise RuntimeError(f"preparing: {' '.join(command)}: {done.stderr.strip()[-500:]}")


def prepare(root, folder, binaries):
    """Programs, configurations, small data, two runs and a sweep of one."""
    link_programs(folder, binaries)
    for name in ("configs", "scripts", "docs"):
        (folder / name).symlink_to(root / name)
    for task, options in SETS:
        must(["lotformer-data", "generate", "--task", task, "--root", "data/lra", *options], folder)
    make_custom(folder / "data/mine")
    (folder / "some").mkdir()
    (folder / "some/cifar").symlink_to(folder / "data/lra")
    for name, seed in (("my-run", "0"), ("other", "1")):
        must(["lotformer-train", "--config", str(root / "tests/data/configs/tiny.yaml"), "--set", "data.root=data/lra", "--set", f"train.seed={seed}",
              "--device", "cpu", "--run-dir", f"runs/{name}"], folder)
    (folder / "sweeps/lra/listops/lotformer").mkdir(parents=True)
    shutil.copytree(folder / "runs/my-run", folder / "sweeps/lra/listops/lotformer/seed-0")


def run_block(root, block, prepared, binaries):
    """None, or what went wrong."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "lotformer"
        if block.empty:
            folder.mkdir()
            link_programs(folder, binaries)
            for name in ("configs", "scripts", "docs"):
                (folder / name).symlink_to(root / name)
        else:
            shutil.copytree(prepared, folder, symlinks=True)
        start = time.monotonic()
        done = call(["bash", "-euo", "pipefail", "-c", block.text()], folder)
        print(f"{block.place}: {time.monotonic() - start:.1f} s, exit code {done.returncode}", file=sys.stderr)
        if done.returncode == 0:
            return None
        return f"{block.place}: exit code {done.returncode}: {done.stderr.strip()[-600:]}"


def run(root, binaries, blocks, verdict):
    wanted = [block for block in blocks if block.verdict == verdict]
    if not wanted:
        return [f"no block has the verdict {verdict}"]
    with tempfile.TemporaryDirectory() as place:
        prepared = pathlib.Path(place) / "lotformer"
        prepared.mkdir()
        try:
            prepare(root, prepared, binaries)
        except RuntimeError as error:
            return [str(error)]
        complaints = [run_block(root, block, prepared, binaries) for block in wanted]
    return [complaint for complaint in complaints if complaint]
