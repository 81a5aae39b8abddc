#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What parts of a ListOps row tell about its label: a gradient-boosted classifier on features of the row (docs/studies/learning.md).

  listops_features.py DATA_ROOT [FEATURES...]      needs numpy, scikit-learn and lightgbm from PyPI

Trains on the first 40,000 training rows, stops early on the validation rows, scores the test rows.
"""
import sys

import lightgbm
import numpy

TOKENS = ["[MIN", "[MAX", "[MED", "[SM", "]"] + [str(digit) for digit in range(10)]
IDS = {token: i for i, token in enumerate(TOKENS)}


def rows(path, limit):
    with open(path) as lines:
        next(lines)
        for _, text in zip(range(limit), lines):
            source, target = text.rstrip("\r\n").split("\t")
            yield [token for token in source.split() if token not in "()"], int(target)


def histogram(tokens, size):
    return list(numpy.bincount(tokens, minlength=size)) if tokens else [0] * size


def first(count):
    return lambda row: [IDS[token] for token in row[1:1 + count]]


def last(count):
    return lambda row: [IDS[token] for token in row[-1 - count:-1]]


def bag(row):
    return histogram([IDS[token] for token in row], len(TOKENS)) + [len(row)]


def ends(row):
    """Digits before the first inner list and after the last one: all of them are arguments of the root."""
    def run(tokens):
        digits = []
        for token in tokens:
            if not token.isdigit():
                break
            digits.append(int(token))
        return digits
    digits = run(row[1:]) + run(row[-2:0:-1])
    return [len(digits), max(digits, default=-1), min(digits, default=10), numpy.mean(digits) if digits else 5]


def arguments(row):
    """Histograms of the digits and of the inner operators that are arguments of the root."""
    depth, digits, operators = 0, [], []
    for token in row:
        if token[0] == "[":
            if depth == 1:
                operators.append(IDS[token])
            depth += 1
        elif token == "]":
            depth -= 1
        elif depth == 1:
            digits.append(int(token))
    return histogram(digits, 10) + histogram(operators, 4)


FEATURES = {
    "root operator": lambda row: [],
    "and all tokens as a bag, and the length": bag,
    "and the 4 tokens after it": first(4),
    "and the 12 tokens after it": first(12),
    "and the 24 tokens after it": first(24),
    "and the 12 tokens before the end": last(12),
    "and 12 tokens at either end": lambda row: first(12)(row) + last(12)(row),
    "and the digits at either end that are its arguments": ends,
    "and its digits and inner operators as histograms": arguments,
}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = sys.argv[1] + "/listops-1000/basic_"
    splits = {name: list(rows(f"{folder}{name}.tsv", 40000)) for name in ("train", "val", "test")}
    labels = {name: numpy.array([label for _, label in split]) for name, split in splits.items()}
    for name in sys.argv[2:] or FEATURES:
        table = {split: numpy.array([[IDS[row[0]]] + FEATURES[name](row) for row, _ in examples], float)
                 for split, examples in splits.items()}
        model = lightgbm.LGBMClassifier(n_estimators=300, learning_rate=0.05, min_child_samples=50, verbose=-1, n_jobs=2,
                                        random_state=0)
        model.fit(table["train"], labels["train"], eval_set=[(table["val"], labels["val"])],
                  callbacks=[lightgbm.early_stopping(20, verbose=False)])
        right = model.predict(table["test"]) == labels["test"]
        parts = ", ".join(f"{TOKENS[i][1:]} {100 * right[table['test'][:, 0] == i].mean():.1f}" for i in range(4))
        print(f"{name}: {100 * right.mean():.1f} % ({parts})", flush=True)


main()
