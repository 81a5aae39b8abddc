#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One row of the table of scripts/bench/adaptive_rank.sh, in Markdown, from a run and the results that it printed.

  adaptive_rank_row.py RUN PIVOTS CELL...     RUN.json and RUN/metrics.jsonl are read; CELL...: the first columns
"""
import json
import pathlib
import sys


def values_under(node, key):
    """The numbers under `key` anywhere in a line of metrics.jsonl, in order: one a layer."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            else:
                yield from values_under(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_under(value, key)


def layers(line, key):
    return "+".join(f"{value:.1f}".removesuffix(".0") for value in values_under(line, key))


def main(run, pivots, *first):
    lines = [json.loads(text) for text in pathlib.Path(run, "metrics.jsonl").read_text().splitlines()]
    # The weights of the last step: the rank at the end is theirs.
    test = json.loads(pathlib.Path(run + ".json").read_text())["last"]["test"]
    diagnostics = [line for line in lines if line["split"] == "diagnostics"]
    surveys = [layers(line, "pivots") for line in lines if line["split"] == "rank"]
    print("| " + " | ".join([*first, f"{100 * test['accuracy']:.1f}", f"{test['loss']:.3f}", layers(diagnostics[-1], "effective_rank"),
                             ", ".join([f"{pivots}+{pivots}", *surveys])]) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
