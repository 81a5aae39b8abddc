# SPDX-License-Identifier: MIT
"""Report of scripts/gpu_session.sh: collects its lines into one JSON file, renders docs/benchmarks/gpu.md. For developers; no packages needed.

  gpu_report.py collect OUT [--emulated]
  gpu_report.py versions [yes]                                yes: an emulated run
  gpu_report.py render ROOT [REPORT | --check]
"""
import datetime
import glob
import json
import os
import re
import shutil
import subprocess
import sys

SCHEMA = 2
TASKS = ("listops", "text", "retrieval", "image", "pathfinder")
# Least ratio of the median times, forward and backward (set beforehand by a model of an H100; ratios only compare within one report).
TARGETS = {
    "published_eager": {"listops": 90, "text": 90, "retrieval": 90, "image": 25, "pathfinder": 90},
    "published_compiled": {task: 8 for task in TASKS},
    "softmax_fused": {"listops": 5, "text": 8, "retrieval": 4, "image": 4, "pathfinder": 2},
}


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def read_lines(folder):
    lines = []
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    lines.append(json.loads(text))
                except ValueError:  # a process that was stopped in the middle of a line
                    lines.append({"kind": "unreadable", "file": os.path.basename(path), "line": number})
    return lines


def add_floors(benches, ceilings):
    """floor_us = max(bytes / copy bandwidth, 2 n r P sides passes / FFMA rate), and how far a time is from it."""
    if not ceilings or not ceilings.get("copy_gb_per_s") or not ceilings.get("float32_tflops"):
        return
    for row in benches:
        if not row["implementation"].startswith("lotformer_") or row["implementation"] == "lotformer_cpu":
            continue
        backward = row["op"] == "forward_backward"
        elements = row["problems"] * row["tokens"] * row["head_dim"] * (2 if row["dtype"] == "bf16" else 4)
        moved = elements * (4 + (7 if backward else 0))  # q, k, v, out; q, k, v, d_out in, three gradients out
        passes = row.get("mean_passes", row["half_iterations"] / 2) + (2 if backward else 0)
        work = 2 * row["tokens"] * row["pivots"] * row["problems"] * 2 * passes
        floor = max(moved / ceilings["copy_gb_per_s"] * 1e-3, work / (ceilings["float32_tflops"] / 2) * 1e-6)
        row["floor_us"] = floor
        row["over_floor"] = row["median_us"] / floor


def median_of(report, task, implementation, dtype=None, launch="launched", cache=None):
    """The median of forward and backward; cold where there is a cold one."""
    rows = [row for row in report["bench"] if (row["task"], row["implementation"], row["op"], row["launch"]) ==
            (task, implementation, "forward_backward", launch) and dtype in (None, row["dtype"])]
    for wanted in (cache,) if cache else ("cold", "warm"):
        for row in rows:
            if row["cache"] == wanted:
                return row["median_us"]
    return None


def add_ratios(report):
    report["ratios"] = []
    for task in TASKS:
        for other, targets in TARGETS.items():
            dtype = "bf16" if other == "softmax_fused" else "float32"
            launch = "launched" if other == "published_compiled" else "captured"  # torch.compile is measured by a script of its own
            own, theirs = (median_of(report, task, name, dtype, launch) for name in ("lotformer_exact", other))
            ratio = theirs / own if own and theirs else None
            report["ratios"].append({"task": task, "against": other, "dtype": dtype, "ratio": ratio, "target": targets[task],
                                     "reached": None if ratio is None else ratio >= targets[task]})


def versions(emulated):
    """Of the machine; asked once a session, because importing torch takes seconds."""
    gpu = [] if emulated else output_of("nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm", "--format=csv,noheader").splitlines()
    fields = [field.strip() for field in gpu[0].split(",")] if gpu else []
    return {"device": "emulated" if emulated else fields[0] if fields else "unknown", "driver": fields[1] if fields else None,
            "clocks": ", ".join(fields[2:]) or None, "torch": output_of("python3", "-c", "import torch; print(torch.__version__)")}


def collect(out, emulated):
    lines = read_lines(os.path.join(out, "lines"))
    pick = lambda kind: [{k: v for k, v in line.items() if k != "kind"} for line in lines if line.get("kind") == kind]
    checks = {kind: pick(kind) for kind in ("correctness", "bits", "capture", "nodes", "framework")}
    ceilings = pick("ceilings")
    benches = pick("bench")
    add_floors(benches, ceilings[0] if ceilings else None)
    report = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": os.environ.get("LOTFORMER_COMMIT", "unknown"),
        "emulated": emulated,
        **json.loads(os.environ.get("LOTFORMER_VERSIONS") or json.dumps(versions(emulated))),
        "doctor": pick("doctor"),
        "ceilings": ceilings[0] if ceilings else None,
        "checks": checks,
        "bench": benches,
        "bench_failed": pick("bench_failed"),
        "kernel_times": pick("kernel_time"),
        "steps": pick("step"),
        "trainings": pick("training"),
        "long_trainings": pick("long_training"),
        "stages": pick("stage"),
        "left_out": pick("left_out"),
        "unreadable": pick("unreadable"),
    }
    add_ratios(report)
    results = [row.get("passed") for rows in checks.values() for row in rows]
    report["passed"] = bool(checks["correctness"]) and all(r is not False for r in results) and all(s["passed"] for s in report["stages"])
    with open(os.path.join(out, "report.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    failures = sum(r is False for r in results)
    print(f"    {len(results)} checks, {failures} failed", file=sys.stderr)


def cell(value, digits=0):
    return "*unmeasured*" if value is None else f"{value:,.{digits}f}"


def ratio_cell(report, task, against):
    for row in report["ratios"] if report else []:
        if row["task"] == task and row["against"] == against and row["ratio"] is not None:
            return f"{row['ratio']:.1f} (target {row['target']}{'' if row['reached'] else ', **missed**'})"
    return f"*unmeasured* (target {TARGETS[against][task]})"


def head(report):
    lines = ["# LOTFormer on a GPU",
             "Written by `scripts/dev/render_gpu_report.sh`; not edited by hand. To measure: `scripts/gpu_session.sh prepare` here, `scripts/gpu_session.sh run OUT` on a "
             "machine with a GPU, then `scripts/dev/render_gpu_report.sh OUT/report.json`.", ""]
    if report is None:
        return lines + ["**No report has been made: no GPU was at hand.** Every figure is *unmeasured*. What has been executed without one: the kernels on the "
                        "emulator (`tests/ops/pivot/cuda`), the operators over them (`tests/ops/pivot/binding`), and the session's stages in small on a CPU "
                        "(`scripts/gpu_session.sh run OUT --cpu-dry-run`, which CI rehearses from a copy that holds what would travel).", ""]
    checks = report["checks"]
    count = lambda kind: f"{sum(r.get('passed') is True for r in checks[kind])} of {len(checks[kind])}"
    ceilings = report["ceilings"] or {}
    ended = ", ".join(f"{s['name']} {s['seconds']} s{'' if s['passed'] else ' (**failed**)'}" for s in report["stages"])
    return lines + [f"{report['device']}, driver {report['driver']}, {report['date']}, commit {report['commit']}; torch {report['torch']}.", "",
                    f"Passed: correctness against float64 {count('correctness')}, equal bits {count('bits')}, captured = launched {count('capture')}, "
                    f"kernel nodes at most 3 and 4 {count('nodes')}, framework on the device {count('framework')}. Stages: {ended}.", "",
                    f"Ceilings: copy {cell(ceilings.get('copy_gb_per_s'))} GB/s, float32 product {cell(ceilings.get('float32_tflops'), 1)} TFLOP/s.", ""]


def attention_tables(report):
    median = lambda task, *which: median_of(report, task, *which) if report else None
    lines = ["Forward and backward of one call, median in microseconds; as a captured graph where it says so, else launched one by one; LOTFormer in mode exact, scores "
             "with a standard deviation of 1 epsilon, or 10 (sharp).", "",
             "| task | LOTFormer bf16 | captured | sharp, captured | LOTFormer float32 | published, eager | published, compiled | softmax, flash, captured | "
             "softmax, mask and dropout, captured | CPU core |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    captured = lambda task, name: median(task, name, "bf16", "captured", "warm")
    for task in TASKS:
        cells = [median(task, "lotformer_exact", "bf16"), captured(task, "lotformer_exact"), captured(task, "lotformer_sharp"),
                 median(task, "lotformer_exact", "float32"), median(task, "published_eager"), median(task, "published_compiled"),
                 captured(task, "softmax_fused"), captured(task, "softmax_masked"), median(task, "lotformer_cpu")]
        lines.append(f"| {task} | " + " | ".join(cell(value) for value in cells) + " |")
    lines += ["", "Times faster than each; the targets were set beforehand for an H100. Against the published iteration in float32, against softmax in bf16; both sides captured, but for torch.compile, which is measured as it launches, both sides so.", "",
              "| task | published, eager | published, compiled | softmax, flash |", "| --- | --- | --- | --- |"]
    for task in TASKS:
        lines.append(f"| {task} | " + " | ".join(ratio_cell(report, task, name) for name in TARGETS) + " |")
    return lines


def step_table(report):
    lines = ["", "A whole training step (forward, backward, clip, AdamW; synthetic sets but for ListOps), median in milliseconds.", "",
             "| task | attention | step | as a graph | operators | values read back |", "| --- | --- | --- | --- | --- | --- |"]
    steps = [(step, row) for step in (report["steps"] if report else []) for row in step["rows"]]
    for step, row in steps:
        name = row["attention"] + (f" ({step['note']})" if "note" in step else "")
        graph = None if row["graph_us"] is None else row["graph_us"] / 1000
        lines.append(f"| {step['task']} | {name} | {row['median_us'] / 1000:.2f} | {'-' if graph is None else f'{graph:.2f}'} | {row['operators']} | {row['host_reads']} |")
    return lines if steps else lines + ["| all | all | *unmeasured* | *unmeasured* | | |"]


def training_lines(report):
    lines = [""]
    for training in report["long_trainings"] if report else []:
        results, last = training.get("results"), training.get("last")
        if results:
            lines.append(f"* {training['name']}: finished, test {100 * results['test']['accuracy']:.2f} %." if "test" in results else f"* {training['name']}: finished.")
        elif last:
            lines.append(f"* {training['name']}: stopped by the session's limit after step {last['step']}, training accuracy of the last window {100 * last['accuracy']:.1f} %.")
    return lines if len(lines) > 1 else lines + ["ListOps, LOTFormer by its configuration and softmax: *unmeasured*."]


def page(report):
    return "\n".join(head(report) + attention_tables(report) + step_table(report) + training_lines(report)) + "\n"


def newest_report(folder):
    found = sorted(glob.glob(os.path.join(folder, "*-gpu-*.json")))
    return found[-1] if found else None


def require_schema(path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    missing = {"schema", "device", "commit", "checks", "bench", "ratios"} - set(report)
    if missing or report["schema"] != SCHEMA:
        sys.exit(f"error: {path}: not a report of schema {SCHEMA}" + (f", lacks {', '.join(sorted(missing))}" if missing else ""))
    if report["emulated"]:
        sys.exit(f"error: {path}: an emulated run measures nothing; reports come from a GPU")
    return report


def render(root, argument):
    folder = os.path.join(root, "docs", "benchmarks")
    if argument and argument != "--check":
        report = require_schema(argument)
        name = re.sub(r"[^a-z0-9]+", "-", report["device"].lower()).strip("-")
        shutil.copy(argument, os.path.join(folder, f"{report['date']}-gpu-{name}-{report['commit']}.json"))
    newest = newest_report(folder)
    text = page(require_schema(newest) if newest else None)
    target = os.path.join(folder, "gpu.md")
    if argument == "--check":
        with open(target, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("error: docs/benchmarks/gpu.md: out of date: scripts/dev/render_gpu_report.sh")
        return
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    if len(sys.argv) >= 3 and sys.argv[1] == "collect":
        collect(sys.argv[2], sys.argv[3:] == ["--emulated"])
    elif sys.argv[1:2] == ["versions"]:
        print(json.dumps(versions(sys.argv[2:3] == ["yes"])))
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "render":
        render(sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None)
    else:
        sys.exit(__doc__)
