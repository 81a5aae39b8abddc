# SPDX-License-Identifier: MIT
"""Report of scripts/dev/gpu_check.sh: collects its lines into one JSON file, renders docs/benchmarks/gpu.md. For developers; no packages needed.

  gpu_report.py collect OUT [--emulated | --build FOLDER]     FOLDER: what pivot_check was built in; without it no registers are reported
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

SCHEMA = 1
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


def resources(build):
    """Registers, stack and spills as scripts/dev/check_cuda_resources.sh prints them."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_cuda_resources.sh")
    rows = []
    for line in output_of("bash", script, "--print", build).splitlines():
        fields = line.rsplit(None, 3)
        if len(fields) == 4 and all(x.isdigit() for x in fields[1:]):
            rows.append(dict(zip(("kernel", "registers", "stack", "spills"), [fields[0], *map(int, fields[1:])])))
    return rows


def profile_of(path):
    """Sums and means of the counters over the launches of one task; ncu --csv prints a row for each metric of each launch."""
    import csv
    found = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        rows = [line for line in file if line.startswith('"')]
    for row in csv.DictReader(rows):
        try:
            value = float(row["Metric Value"].replace(",", ""))
        except (KeyError, ValueError):
            continue
        kernel = re.sub(r"[<(].*", "", row.get("Kernel Name", ""))
        found.setdefault((kernel, row["Metric Name"]), []).append((value, row.get("Metric Unit", "")))
    return [{"kernel": kernel, "metric": metric, "mean": sum(v for v, _ in values) / len(values), "unit": values[0][1], "launches": len(values)}
            for (kernel, metric), values in sorted(found.items())]


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
            own, theirs = (median_of(report, task, name, dtype) for name in ("lotformer_exact", other))
            ratio = theirs / own if own and theirs else None
            report["ratios"].append({"task": task, "against": other, "dtype": dtype, "ratio": ratio, "target": targets[task],
                                     "reached": None if ratio is None else ratio >= targets[task]})


def collect(out, emulated, build):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lines = read_lines(os.path.join(out, "lines"))
    pick = lambda kind: [{k: v for k, v in line.items() if k != "kind"} for line in lines if line.get("kind") == kind]
    checks = {kind: pick(kind) for kind in ("correctness", "bits", "capture", "nodes", "sanitizer")}
    ceilings = pick("ceilings")
    benches = pick("bench")
    add_floors(benches, ceilings[0] if ceilings else None)
    gpu = output_of("nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm", "--format=csv,noheader").splitlines()
    report = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": output_of("git", "-C", root, "rev-parse", "--short", "HEAD") or os.environ.get("LOTFORMER_COMMIT", "unknown"),
        "dirty": bool(output_of("git", "-C", root, "status", "--porcelain", "--untracked-files=no")),
        "emulated": emulated,
        "device": "emulated" if emulated else "unknown" if not gpu else gpu[0].split(",")[0].strip(),
        "driver": None if emulated or not gpu else gpu[0].split(",")[1].strip(),
        "clocks": None if emulated or not gpu else ",".join(gpu[0].split(",")[2:]).strip(),
        "toolchain": output_of("nvcc", "--version").splitlines()[-1:] if not emulated else [],
        "torch": output_of("python3", "-c", "import torch; print(torch.__version__)"),
        "ceilings": ceilings[0] if ceilings else None,
        "kernel_resources": resources(build) if build else [],
        "checks": checks,
        "bench": benches,
        "bench_failed": pick("bench_failed"),
        "profiler": {os.path.basename(path)[4:-4]: profile_of(path) for path in sorted(glob.glob(os.path.join(out, "logs", "ncu-*.csv")))},
        "stages": pick("stage"),
        "unreadable": pick("unreadable"),
    }
    add_ratios(report)
    results = [row.get("passed") for rows in checks.values() for row in rows]
    report["passed"] = bool(checks["correctness"]) and all(r is not False for r in results) and all(s["exit_code"] == 0 for s in report["stages"])
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


def page(report):
    lines = ["# LOTFormer attention on a GPU",
             "Written by `scripts/dev/render_gpu_report.sh`; not edited by hand. To measure: `scripts/dev/gpu_check.sh OUT` on a machine with a GPU, then "
             "`scripts/dev/render_gpu_report.sh OUT/report.json`.", ""]
    if report is None:
        lines += ["**No report has been made: no GPU was at hand.** Every figure is *unmeasured*. What has been executed without one: the kernels on the "
                  "emulator (`tests/ops/pivot/cuda`), and the operators over them (`tests/ops/pivot/binding`). `scripts/dev/gpu_check.sh OUT --cpu-dry-run` compares "
                  "two tiny shapes in the same way.", ""]
    else:
        checks = report["checks"]
        count = lambda kind: f"{sum(r.get('passed') is True for r in checks[kind])} of {len(checks[kind])}"
        lines += [f"{report['device']}, driver {report['driver']}, {report['date']}, commit {report['commit']}"
                  f"{' with uncommitted changes' if report['dirty'] else ''}; torch {report['torch']}.", "",
                  f"Passed: correctness against float64 {count('correctness')}, equal bits {count('bits')}, captured = launched {count('capture')}, "
                  f"kernel nodes at most 3 and 4 {count('nodes')}, sanitizers {count('sanitizer')}.", ""]
        ceilings = report["ceilings"] or {}
        lines += [f"Ceilings: copy {cell(ceilings.get('copy_gb_per_s'))} GB/s, float32 product {cell(ceilings.get('float32_tflops'), 1)} TFLOP/s.", ""]
    own = lambda task, launch: median_of(report, task, "lotformer_exact", "bf16", launch) if report else None
    other = lambda task, name, dtype=None: median_of(report, task, name, dtype) if report else None
    lines += ["Forward and backward, median in microseconds; launched one by one unless it says captured; LOTFormer in mode exact.", "",
              "| task | LOTFormer bf16 | captured | LOTFormer float32 | published, eager | published, compiled | softmax, fused, bf16 | CPU core |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for task in TASKS:
        captured = median_of(report, task, "lotformer_exact", "bf16", "captured", "warm") if report else None
        cells = [own(task, "launched"), captured, other(task, "lotformer_exact", "float32"), other(task, "published_eager"),
                 other(task, "published_compiled"), other(task, "softmax_fused", "bf16"), other(task, "lotformer_cpu")]
        lines.append(f"| {task} | " + " | ".join(cell(value) for value in cells) + " |")
    lines += ["", "Times faster than each; the targets were set beforehand for an H100. Against the published iteration in float32, against softmax in bf16.", "",
              "| task | published, eager | published, compiled | softmax, fused |", "| --- | --- | --- | --- |"]
    for task in TASKS:
        lines.append(f"| {task} | " + " | ".join(ratio_cell(report, task, name) for name in TARGETS) + " |")
    return "\n".join(lines) + "\n"


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
        collect(sys.argv[2], sys.argv[3:] == ["--emulated"], sys.argv[4] if sys.argv[3:4] == ["--build"] and len(sys.argv) == 5 else None)
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "render":
        render(sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None)
    else:
        sys.exit(__doc__)
