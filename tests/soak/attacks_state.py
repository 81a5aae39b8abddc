# SPDX-License-Identifier: MIT
"""What a checkpoint remembers: each part is taken out, set back, or given another type, with a manifest that fits."""

import json
import shutil

from scene import Tally, difference, newest_checkpoint, run_bytes

CHECKPOINT_ERROR = 4
OTHER_TYPES = [None, True, -1, 1.5, 1e300, "x", [], {}, [1, 2], {"a": 1}]


class Edited:
    """A copy of a run without results, whose newest checkpoint is edited."""

    def __init__(self, scene, name, reference):
        self.scene, self.run = scene, scene.folder / name
        shutil.copytree(reference, self.run)
        (self.run / "results.json").unlink(missing_ok=True)
        self.checkpoint = newest_checkpoint(self.run)

    def state(self):
        return json.loads((self.checkpoint / "state.json").read_text())

    def write(self, state):
        (self.checkpoint / "state.json").write_text(json.dumps(state, indent=2) + "\n")
        self.refit()

    def refit(self):
        """Makes the manifest fit the files again."""
        self.scene.call([self.scene.manifest, self.checkpoint], wanted=0)

    def remove(self):
        shutil.rmtree(self.run)


def interrupted_run(scene, name, *more):
    """A run without its last checkpoint and its results: the newest one left lies between two lines of the log and two evaluations."""
    run = scene.folder / name
    scene.train(run, *more, wanted=0)
    (run / "results.json").unlink()
    shutil.rmtree(newest_checkpoint(run))
    return run


def leaves(value, path=()):
    """Every member of a JSON value that holds no other: its path."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def put(value, path, new):
    for part in path[:-1]:
        value = value[part]
    value[path[-1]] = new


def types(scene, count):
    """Members of state.json with values of other types, as a stranger's file may have them: a verdict, never a crash."""
    tally = Tally("a member of state.json of another type", "exit 4 with its name, or exit 0; never a crash or an internal error")
    rng = scene.random("types")
    source = interrupted_run(scene, "types-source")
    paths = [path for path in leaves(json.loads((newest_checkpoint(source) / "state.json").read_text()))]
    cases = [(path, other) for path in paths for other in OTHER_TYPES]
    rng.shuffle(cases)
    for number, (path, other) in enumerate(cases[:count]):
        edited = Edited(scene, f"type-{number}", source)
        state = edited.state()
        put(state, path, other)
        edited.write(state)
        problem = None
        for program, ended in (("lotformer-eval", scene.evaluate(edited.checkpoint)), ("lotformer-train", scene.train(edited.run))):
            if ended.code not in (0, CHECKPOINT_ERROR, 2, 3) and problem is None:
                problem = f"{'.'.join(map(str, path))} = {json.dumps(other)}: {program} ended with {ended.code}: {ended.last_line()}"
        tally.count(problem)
        edited.remove()
    tally.figures["members"] = len(paths)
    return tally


def without(key):
    def change(edited):
        state = edited.state()
        del state[key]
        edited.write(state)

    return change


def with_value(path, value):
    def change(edited):
        state = edited.state()
        put(state, path, value)
        edited.write(state)

    return change


def zeroed(name):
    """All tensors of a file become zero; their names and shapes stay."""

    def change(edited):
        path = edited.checkpoint / name
        data = bytearray(path.read_bytes())
        header = 8 + int.from_bytes(data[:8], "little")
        data[header:] = bytes(len(data) - header)
        path.write_bytes(data)
        edited.refit()

    return change


# What a checkpoint could forget: each must be refused, or must show in the end of the run.
MUTANTS = {
    "no sampler": without("sampler"),
    "sampler at the start": with_value(("sampler", "position"), 0),
    "no scaler": without("scaler"),
    "no window of the log": without("window"),
    "window of the log set back": with_value(("window",), {"loss": 0.0, "correct": 0.0, "grad_norm": 0.0, "norms": 0.0, "losses": 0.0,
                                                           "examples": 0, "steps": 0}),
    "no best score": with_value(("best",), None),
    "no place in the metrics": without("metrics_offset"),
    "metrics from the start": with_value(("metrics_offset",), 0),
    "no step": without("step"),
    "step set back": with_value(("step",), 0),
    "no moments of Adam": zeroed("optimizer.safetensors"),
    "weights of zero": zeroed("model.safetensors"),
    "no counts of transport problems": without("transport"),
}


def mutants(scene, _count):
    """A program that forgot a part of its state must not pass unnoticed: the part is taken out of a checkpoint by hand."""
    tally = Tally("a part of the saved state forgotten", "refused, set aside as damaged, or another end than undisturbed")
    source = interrupted_run(scene, "mutants-source")
    control = Edited(scene, "mutant-control", source)
    control.refit()
    problem = scene.ends_as_reference(control.run)
    tally.count(problem and f"nothing changed: {problem}")
    for number, (name, change) in enumerate(MUTANTS.items()):
        edited = Edited(scene, f"mutant-{number}", source)
        change(edited)
        done = scene.train(edited.run)
        what = outcome(scene, edited.run, done)
        tally.count(None if what else f"{name}: not noticed")
        tally.figures[name] = what
        edited.remove()
    tally.count(evaluation_mutant(scene))
    tally.count(scaler_mutant(scene))
    return tally


def outcome(scene, run, done):
    """How a program met a checkpoint that had forgotten something; None when it did not notice."""
    if done.code != 0:
        return "refused"
    if any(path.name.startswith("discarded-") for path in (run / "checkpoints").iterdir()):
        return "set aside as damaged"
    changed = difference(run_bytes(run), scene.bytes) is not None or results_differ(scene, run)
    return "another end" if changed else None


def results_differ(scene, run):
    def figures(folder):
        results = json.loads((folder / "results.json").read_text())
        return {key: value for key, value in results.items() if key not in ("times", "build_id")}

    return figures(run) != figures(scene.reference)


def evaluation_mutant(scene):
    """The step that was validated last, at a checkpoint made after its own evaluation: a program that forgot would evaluate again."""
    edited = Edited(scene, "evaluated-mutant", scene.reference)
    state = edited.state()
    if state["evaluated_step"] != state["step"]:
        return "the last checkpoint holds no evaluation of its own step"
    with_value(("evaluated_step",), -1)(edited)
    done = scene.train(edited.run)
    seen = done.code != 0 or difference(run_bytes(edited.run), scene.bytes) is not None
    return None if seen else "the evaluated step forgotten: not noticed"


def scaler_mutant(scene):
    """The loss scale of fp16, which the other runs do not have."""
    more = ["--set", "train.precision=fp16"]
    whole = scene.folder / "fp16"
    source = interrupted_run(scene, "fp16-source", *more)
    scene.train(whole, *more, wanted=0)
    edited = Edited(scene, "fp16-mutant", source)
    state = edited.state()
    if not state.get("scaler"):
        return "fp16: the state holds no scaler"
    state["scaler"] = None
    edited.write(state)
    done = scene.train(edited.run, *more)
    seen = done.code == CHECKPOINT_ERROR or difference(run_bytes(edited.run), run_bytes(whole)) is not None
    return None if seen else "no scaler under fp16: not noticed"
