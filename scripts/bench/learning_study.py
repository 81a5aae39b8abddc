#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One JSON line for each run folder, and the table of docs/studies/learning.md from such lines.

  learning_study.py lines RUN...   > FILE.jsonl     what a run has reached, finished or not
  learning_study.py table FILE...                   Markdown
"""
import json
import pathlib
import sys

PLATEAU_LOSS = 2.1  # between the majority class (2.26 to 2.28) and the root operator alone (1.75)
WINDOW_STEPS = 100  # mean of the training loss over so many steps


def json_lines(path):
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(text)
        except json.JSONDecodeError:  # the last line of a run that goes on
            return


def left_plateau(training):
    """First step at which the mean loss of the last WINDOW_STEPS steps is below PLATEAU_LOSS, or None."""
    begin = 0
    for end, (step, _) in enumerate(training):
        while step - training[begin][0] >= WINDOW_STEPS:
            begin += 1
        window = [loss for _, loss in training[begin:end + 1]]
        if step >= WINDOW_STEPS and sum(window) / len(window) < PLATEAU_LOSS:
            return step
    return None


def settings_of(run):
    """Keys that the user gave, from the origins that config.yaml records."""
    given, path = {}, []
    for text in (run / "config.yaml").read_text().splitlines():
        body = text.split("#")[0].rstrip()
        if not body.strip():
            continue
        depth = (len(body) - len(body.lstrip())) // 2
        key, _, value = body.strip().partition(":")
        path = path[:depth] + [key]
        if value.strip() and "--set" in text:
            given[".".join(path)] = value.strip()
    for noise in ("data.root", "data.generate_missing", "train.threads", "train.log_every", "train.eval_every",
                  "train.checkpoint_every"):
        given.pop(noise, None)
    return given


def line(run):
    metrics = list(json_lines(run / "metrics.jsonl"))
    timings = list(json_lines(run / "timings.jsonl"))
    training = [(m["step"], m["loss"]) for m in metrics if m["split"] == "train"]
    seconds = {}
    total = 0.0
    for t in timings:
        if t["phase"] == "train":
            total += t["seconds"]
            seconds[t["step"]] = round(total, 1)
    validation = [m for m in metrics if m["split"] == "val"]
    made = {
        "run": run.name,
        "settings": settings_of(run),
        "steps": training[-1][0] if training else 0,
        "left_plateau": left_plateau(training),
        "train_seconds": round(total, 1),
        "curve": [[m["step"], seconds.get(m["step"]), round(m["accuracy"], 4), round(m["loss"], 4)] for m in validation],
    }
    results = run / "results.json"
    if results.exists():
        r = json.loads(results.read_text())
        for name, score in (("test_best", r["test"]), ("test_last", r["last"]["test"])):
            made[name] = {"accuracy": score["accuracy"], "examples": score["examples"], "step": score["step"],
                          "interval_95": score["accuracy_interval_95"]}
        made.update({k: r[k] for k in ("attention", "parameters", "threads", "device", "build_id", "seed", "data_origin")})
    return made


def percent(x):
    return f"{100 * x:.1f}"


def row(r):
    values = [r["run"], str(r["steps"]), str(r["left_plateau"] or "not")]
    at = {step: accuracy for step, _, accuracy, _ in r["curve"]}
    for step in (1000, 2000, 3000, 5000, 10000):
        values.append(percent(at[step]) if step in at else "")
    best = r.get("test_best")
    if best:
        low, high = best["interval_95"]
        values.append(f"{percent(best['accuracy'])} ({percent(low)} to {percent(high)}), n = {best['examples']}")
    else:
        values.append("not finished")
    values.append(percent(r["test_last"]["accuracy"]) if "test_last" in r else "")
    values.append(f"{r['train_seconds'] / 60:.0f}")
    values.append(f"{r['steps'] / r['train_seconds']:.2f}" if r["train_seconds"] else "")
    return "| " + " | ".join(values) + " |"


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("lines", "table"):
        sys.exit(__doc__)
    if sys.argv[1] == "lines":
        for run in map(pathlib.Path, sys.argv[2:]):
            print(json.dumps(line(run)))
        return
    print("| run | steps | left the plateau at | val 1,000 | 2,000 | 3,000 | 5,000 | 10,000 | test, best checkpoint (95 % interval) | test, last | minutes | steps/s |")
    print("| --- " * 12 + "|")
    for path in sys.argv[2:]:
        for r in json_lines(pathlib.Path(path)):
            print(row(r))


main()
