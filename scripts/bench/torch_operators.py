#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Forward and backward of LOTFormer's attention from Python: our operators beside plain PyTorch, one thread, on one CPU. One JSON line each.

    scripts/bench/torch_operators.py [--tokens 1024 4096] [--pivots 32] [--batch 4] [--rounds 5] [--skip-compiled] [--table]

q, k, v [batch, 2, tokens, 32] are normal numbers in float32, pivots start as published. `published`: the published computation (50
half-iterations a side, scripts/lib/published_iteration.py) in eager PyTorch and by torch.compile; `operator reference`: the same computation by
our operator; `operator exact`: the problems solved to 1e-4, what the framework trains with. Medians of rounds in which every candidate takes its
turn, after two calls of warm-up; the largest difference of the outputs of the first three is printed. For developers; needs torch and lotformer_torch.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python" / "lotformer_torch" / "src"))
from lotformer_torch import lotformer_attention, truncated_attention  # noqa: E402
from published_iteration import attention  # noqa: E402

HEADS, HEAD_DIM, EPSILON, HALF_ITERATIONS = 2, 32, 0.1, 50


def candidates(options):
    def published(q, k, v, z):
        return attention(q, k, v, z, EPSILON, HALF_ITERATIONS) / options.pivots  # the published code divides by r once more

    table = {"published, eager": published}
    if not options.skip_compiled:
        table["published, torch.compile"] = torch.compile(published, dynamic=False)
    table["operator reference"] = lambda q, k, v, z: truncated_attention(q, k, v, z, epsilon=EPSILON, half_iterations=HALF_ITERATIONS, reference=True)
    table["operator exact"] = lambda q, k, v, z: lotformer_attention(q, k, v, z, epsilon=EPSILON)
    return table


def measure(tokens, options):
    torch.manual_seed(0)
    q, k, v = (torch.randn(options.batch, HEADS, tokens, HEAD_DIM, requires_grad=True) for _ in range(3))
    z = (torch.randn(HEADS, options.pivots, HEAD_DIM) * 0.02).requires_grad_()
    upstream, outputs, times = torch.randn(q.shape), {}, {}

    def call(function):
        out = function(q, k, v, z)
        torch.autograd.grad(out, (q, k, v, z), upstream)
        return out.detach()

    functions = candidates(options)
    for name, function in functions.items():
        call(function)
        outputs[name], times[name] = call(function), []
    for _ in range(options.rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            call(function)
            times[name].append(time.perf_counter() - start)
    wanted = outputs["published, eager"]
    for name, seconds in times.items():
        yield {"kind": "torch_operators", "name": name, "tokens": tokens, "pivots": options.pivots, "batch": options.batch, "heads": HEADS,
               "head_dim": HEAD_DIM, "median_ms": statistics.median(seconds) * 1e3, "rounds": options.rounds,
               "difference": None if name == "operator exact" else float((outputs[name] - wanted).abs().max() / wanted.abs().max()),
               "threads": torch.get_num_threads(), "torch": torch.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", nargs="+", type=int, default=[1024, 4096])
    parser.add_argument("--pivots", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-compiled", action="store_true")
    parser.add_argument("--table", action="store_true", help="a Markdown table at the end, on stdout; the lines then go to stderr")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for tokens in options.tokens:
        for row in measure(tokens, options):
            rows.append(row)
            print(json.dumps(row), flush=True, file=sys.stderr if options.table else sys.stdout)
    if options.table:
        print("| tokens | pivots | computation | forward and backward, ms | output differs by |\n| --- | --- | --- | --- | --- |")
        for row in rows:
            print(f"| {row['tokens']} | {row['pivots']} | {row['name']} | {row['median_ms']:.1f} | "
                  f"{'' if row['difference'] is None else format(row['difference'], '.0e')} |")


if __name__ == "__main__":
    main()
