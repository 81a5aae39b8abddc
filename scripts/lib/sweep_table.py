#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables of scripts/sweep.sh, from the JSON line and the log that each cell left.

  sweep_table.py outcome CELL CODE     one phrase about a finished or failed cell
  sweep_table.py tables OUT            reads OUT/.cells (task, kind, seed, code, cell; tabs), writes cells.csv, summary.csv, summary.md
"""
import csv
import json
import pathlib
import statistics
import sys

CELL_COLUMNS = ["task", "attention", "seed", "exit_code", "test_accuracy", "test_loss", "last_test_accuracy", "val_accuracy", "steps",
                "data_origin", "protocol", "test_examples"]
SUMMARY_COLUMNS = ["task", "attention", "mean_test_accuracy", "deviation", "n", "mean_test_loss", "mean_last_test_accuracy", "failed",
                   "steps", "data_origin", "protocol", "test_examples"]
HEADINGS = ["task", "attention", "test accuracy, % (best checkpoint)", "deviation", "n", "test loss", "last step, %", "failed", "steps",
            "data", "protocol", "test examples"]


def last_line(path):
    lines = pathlib.Path(path).read_text(errors="replace").splitlines()
    return lines[-1] if lines else ""


def results_of(cell):
    """The results that lotformer-train --json printed."""
    return json.loads(pathlib.Path(cell + ".json").read_text())


def outcome(cell, code):
    if code != 0:
        return f"FAILED with exit code {code}: {last_line(cell + '.log')}"
    finished_before = "this run is finished" in pathlib.Path(cell + ".log").read_text(errors="replace")
    return f"test {100 * results_of(cell)['test']['accuracy']:.2f} %{' (was finished)' if finished_before else ''}"


def read_cells(out):
    """A dictionary a cell, with the columns of cells.csv, its path as `cell`, and None where there is no result."""
    cells = []
    for line in (out / ".cells").read_text().splitlines():
        task, kind, seed, code, cell = line.split("\t")
        row = dict.fromkeys(CELL_COLUMNS) | {"task": task, "attention": kind, "seed": seed, "exit_code": int(code), "cell": cell}
        if row["exit_code"] == 0:
            results = results_of(cell)
            row |= {"attention": results["attention"], "test_accuracy": results["test"]["accuracy"], "test_loss": results["test"]["loss"],
                    "last_test_accuracy": results["last"]["test"]["accuracy"], "val_accuracy": results["val"]["accuracy"],
                    "test_examples": results["test"]["examples"]}
            row |= {key: results[key] for key in ("steps", "data_origin", "protocol")}
        cells.append(row)
    return cells


def summarise(cells):
    """One row for each task and attention: means, and the sample standard deviation, of the seeds that finished."""
    groups = {}
    for cell in cells:
        groups.setdefault((cell["task"], cell["attention"]), []).append(cell)
    rows = []
    for (task, attention), group in groups.items():
        done = [cell for cell in group if cell["exit_code"] == 0]
        row = dict.fromkeys(SUMMARY_COLUMNS) | {"task": task, "attention": attention, "n": len(done), "failed": len(group) - len(done)}
        if done:
            accuracies = [cell["test_accuracy"] for cell in done]
            row |= {"mean_test_accuracy": statistics.fmean(accuracies),
                    "deviation": statistics.stdev(accuracies) if len(done) > 1 else None,
                    "mean_test_loss": statistics.fmean(cell["test_loss"] for cell in done),
                    "mean_last_test_accuracy": statistics.fmean(cell["last_test_accuracy"] for cell in done)}
            row |= {key: done[-1][key] for key in ("steps", "data_origin", "protocol", "test_examples")}
        rows.append(row)
    return rows


def write_csv(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown_row(texts):
    return "| " + " | ".join("" if text is None else str(text).replace("|", "/") for text in texts) + " |"


def markdown_table(headings, rows):
    return "\n".join(markdown_row(row) for row in [headings, ["---"] * len(headings), *rows]) + "\n"


def markdown(rows, cells):
    percent = lambda share: "-" if share is None else f"{100 * share:.2f}"
    text = markdown_table(HEADINGS, [
        [row["task"], row["attention"], percent(row["mean_test_accuracy"]), percent(row["deviation"]), row["n"],
         "-" if row["mean_test_loss"] is None else f"{row['mean_test_loss']:.4f}", percent(row["mean_last_test_accuracy"]), row["failed"],
         row["steps"], row["data_origin"], row["protocol"], row["test_examples"]] for row in rows])
    failures = [[cell["task"], cell["attention"], cell["seed"], cell["exit_code"], last_line(cell["cell"] + ".log")]
                for cell in cells if cell["exit_code"] != 0]
    if failures:
        text += "\nFailures\n\n" + markdown_table(["task", "attention", "seed", "exit code", "last line"], failures)
    return text


def write_tables(out):
    cells = read_cells(out)
    rows = summarise(cells)
    write_csv(out / "cells.csv", CELL_COLUMNS, cells)
    write_csv(out / "summary.csv", SUMMARY_COLUMNS, rows)
    (out / "summary.md").write_text(markdown(rows, cells))


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "outcome":
        print(outcome(arguments[1], int(arguments[2])))
    elif len(arguments) == 2 and arguments[0] == "tables":
        write_tables(pathlib.Path(arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
