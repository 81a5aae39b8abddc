# SPDX-License-Identifier: MIT
"""Bits that flip in what lies on the disk: checkpoints, caches, data files."""

import shutil

from scene import Tally, difference, flip_a_bit, newest_checkpoint, run_bytes

CHECKPOINT_ERROR, DATA_ERROR = 4, 3
FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def checkpoint_flips(scene, count):
    """A bit in a file of the newest checkpoint: the evaluation names the damage, the trainer takes an older checkpoint and ends alike."""
    tally = Tally("a bit of a checkpoint", "lotformer-eval ends with 4; the trainer names it and goes on from an older one, as undisturbed")
    rng = scene.random("checkpoint flips")
    for number in range(count):
        run = scene.copy_of_reference(f"flip-{number}")
        newest = newest_checkpoint(run)
        name = FILES[number % len(FILES)]
        place = flip_a_bit(newest / name, rng)
        problem, where = None, f"{name}, byte {place}"
        scored = scene.evaluate(newest)
        if scored.code != CHECKPOINT_ERROR:
            # White space of the manifest carries nothing.
            same = name == "manifest.json" and scored.code == 0
            problem = None if same else f"{where}: lotformer-eval ended with {scored.code}"
        if problem is None:
            problem = scene.ends_as_reference(run)
            problem = problem and f"{where}: {problem}"
        tally.count(problem)
        shutil.rmtree(run)
    return tally


def cache_flips(scene, count):
    """A bit in a cache: it is noticed and the cache is made again."""
    tally = Tally("a bit of a data cache", "noticed, made again, as undisturbed")
    rng = scene.random("cache flips")
    data = scene.folder / "flipped-cache"
    for number in range(count):
        shutil.copytree(scene.data, data)
        caches = sorted(data.rglob("*.cache"))
        cache = caches[number % len(caches)]
        place = flip_a_bit(cache, rng)
        run = scene.folder / f"cache-{number}"
        done = scene.train(run, data=data)
        if done.code != 0:
            problem = f"ended with {done.code}: {done.last_line()}"
        elif "is not used" not in done.err:
            problem = "not noticed"
        else:
            problem = difference(results_of(run), {name: scene.bytes[name] for name in ("model.safetensors", "metrics.jsonl")})
        tally.count(problem and f"{cache.name}, byte {place}: {problem}")
        shutil.rmtree(run)
        shutil.rmtree(data)
    return tally


def results_of(run):
    """Without state.json, which names the folder of the data."""
    found = run_bytes(run)
    return {name: found[name] for name in ("model.safetensors", "metrics.jsonl")}


def data_flips(scene, count):
    """A bit in a generated data file, whose record holds its digest: nothing is trained on it."""
    tally = Tally("a bit of a data file", "exit 3 before the first step")
    rng = scene.random("data flips")
    data = scene.folder / "flipped-data"
    for number in range(count):
        shutil.copytree(scene.data, data, ignore=shutil.ignore_patterns(".lotformer-cache"))
        files = sorted(data.rglob("*.tsv"))
        file = files[number % len(files)]
        place = flip_a_bit(file, rng)
        run = scene.folder / f"data-{number}"
        done = scene.train(run, data=data)
        right = done.code == DATA_ERROR and not (run / "metrics.jsonl").exists()
        tally.count(None if right else f"{file.name}, byte {place}: ended with {done.code}: {done.last_line()}")
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(data)
    return tally
