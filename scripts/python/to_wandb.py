#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hands runs of ours to Weights & Biases, or to MLflow: configuration, every number of metrics.jsonl, results (docs/interchange.md).

    to_wandb.py RUN... [--project NAME] [--offline] [--dry-run] [--tracker wandb|mlflow]

Reads run.json, metrics.jsonl and results.json of each run folder; the runs are not changed. A run that is handed over again keeps its
identity (the folder's name and the configuration). --offline writes below ./wandb, for `wandb sync`. Needs the package wandb, or mlflow,
but not for --dry-run, which prints what would be sent. Exit codes: 0, 2.
"""
import argparse
import importlib
import json
import pathlib
import sys
import zlib


def numbers(value, prefix):
    """Leaves that are numbers: (name, number). Truth values and text are none."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from numbers(member, f"{prefix}/{key}" if prefix else key)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield prefix, value


def flat(value, prefix=""):
    """Leaves of a nested object: (name joined by dots, value)."""
    for key, member in value.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(member, dict):
            yield from flat(member, name)
        else:
            yield name, member


def read_json(path):
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: is no JSON object")
    return found


def read_metrics(path):
    """{step: {SPLIT/KEY: number}}; an evaluation of the best or last checkpoint is SPLIT_best or SPLIT_last, as for TensorBoard."""
    steps = {}
    lines = path.read_text().splitlines(keepends=True)
    for number, text in enumerate(lines, 1):
        if number == len(lines) and not text.endswith("\n"):
            print(f"{path}:{number}: is not whole, as when a run is under way; left out", file=sys.stderr)
            break
        try:
            line = json.loads(text)
            step, prefix = line["step"], line["split"] + (f"_{line['checkpoint']}" if "checkpoint" in line else "")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: is no line of metrics with step and split: {error!r}") from None
        rest = {key: value for key, value in line.items() if key != "step"}
        steps.setdefault(step, {}).update(numbers(rest, prefix))
    return dict(sorted(steps.items()))


class Run:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        if not (self.folder / "metrics.jsonl").exists():
            raise ValueError(f"{folder}: is no run folder (no metrics.jsonl)")
        mark = read_json(self.folder / "run.json")
        results = self.folder / "results.json"
        self.config, about = mark["config"], mark.get("run", {})
        self.name, self.group = self.folder.name, f"{about.get('task', self.config.get('task'))}-{about.get('attention', '')}"
        self.summary = read_json(results) if results.exists() else {}
        self.steps = read_metrics(self.folder / "metrics.jsonl")
        key = json.dumps([self.name, self.config, mark.get("data_fingerprints")], sort_keys=True)
        self.identity = f"lotformer-{zlib.crc32(key.encode()):08x}"
        self.tags = [str(about[k]) for k in ("task", "attention", "protocol", "data_origin") if k in about]

    def describe(self):
        lines = [f"run {self.name} ({self.identity}), group {self.group}, tags {', '.join(self.tags)}"]
        lines += [f"  config {name} = {json.dumps(value)}" for name, value in flat(self.config)]
        lines += [f"  step {step} {name} = {value!r}" for step, values in self.steps.items() for name, value in values.items()]
        return "\n".join(lines + [f"  summary {name} = {json.dumps(value)}" for name, value in flat(self.summary)])


def find_package(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"the Python package {name} is needed ({error}); pip install {name}, or look with --dry-run") from None


def send_to_wandb(wandb, run, project, offline):
    sent = wandb.init(project=project, name=run.name, id=run.identity, group=run.group, tags=run.tags, config=run.config,
                      resume="allow", mode="offline" if offline else "online")
    for step, values in run.steps.items():
        wandb.log(values, step=step)
    sent.summary.update(dict(flat(run.summary)))
    sent.finish()


def send_to_mlflow(mlflow, run, project, offline):
    if offline:
        mlflow.set_tracking_uri((pathlib.Path.cwd() / "mlruns").as_uri())
    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=run.name, tags={"identity": run.identity, "group": run.group}):
        mlflow.log_params(dict(flat(run.config)))
        for step, values in run.steps.items():
            mlflow.log_metrics(values, step=step)
        mlflow.log_dict(run.summary, "results.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run folder")
    parser.add_argument("--project", default="lotformer", help="project, or MLflow's experiment (default: %(default)s)")
    parser.add_argument("--offline", action="store_true", help="write to a folder here instead of a server")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent; needs no package")
    parser.add_argument("--tracker", choices=["wandb", "mlflow"], default="wandb")
    arguments = parser.parse_args()
    runs = [Run(folder) for folder in arguments.runs]  # all are read before anything is sent
    if arguments.dry_run:
        print("\n".join(run.describe() for run in runs))
        return
    package = find_package(arguments.tracker)
    for run in runs:
        (send_to_wandb if arguments.tracker == "wandb" else send_to_mlflow)(package, run, arguments.project, arguments.offline)
        print(f"{run.name}: {sum(map(len, run.steps.values()))} numbers of {len(run.steps)} steps")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, KeyError) as error:
        print(f"to_wandb.py: error: {error}", file=sys.stderr)
        sys.exit(2)
