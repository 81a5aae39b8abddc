#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a training step takes on 1 to 512 GPUs, by arithmetic: the tables of docs/scaling.md. Nothing here was measured on a GPU.

A step of N processes takes F + C * share + A(N), where
  C      time in which the device works through the whole batch: attention as scripts/dev/kernel_calls.py reckons it (docs/benchmarks/gpu_model.md,
         scores of 10 epsilon), everything else by the bytes of its activations
  F      what does not shrink with the batch: the kernels of a recorded step, one after the other, a microsecond and a half each
  share  1/N of the batch of one (strong), or as much as one had (weak)
  A(N)   ncclAllReduce of the gradients by NCCL's own model of itself (src/graph/tuning.cc at 01afd20: latencies and bandwidth shares of ring and
         tree, the best of six), links by their data sheets
"""

import argparse
import collections
import math

# Batch and steps of configs/lra; parameters as `lotformer-train --config lra/TASK.yaml --dry-run` prints them (LOTFormer); attention: µs of a call,
# forward and backward (ListOps: 2 heads of 32, published; ours has 8 of 8). Path-X has no entry in the model of the kernels: four times Retrieval's, whose pivots and problems it shares, at four
# times the tokens.
Task = collections.namedtuple("Task", "batch tokens parameters steps attention")
TASKS = {
    "listops": Task(32, 2048, 334_474, 10_000, 133),
    "text": Task(32, 4000, 352_194, 50_000, 497),
    "retrieval": Task(16, 8000, 380_866, 50_000, 1020),
    "image": Task(64, 1024, 159_626, 50_000, 161),
    "pathfinder": Task(128, 1024, 165_762, 60_000, 1013),
    "pathx": Task(32, 16384, 1_148_802, 100_000, 4080),
}
LAYERS, DIM = 2, 64
PASSES_OVER_ACTIVATIONS = 60       # reads and writes of [tokens, dim] a layer, forward and backward, by counting the operators of an encoder layer
BYTES = 2                          # bf16
MEMORY = 3.35e6                    # bytes a µs: H100 SXM, data sheet
KERNELS, LAUNCH = 250, 1.5         # of a recorded step; µs from one to the next
NVLINK, NETWORK = 450e3, 50e3      # bytes a µs and direction, a GPU: NVLink 4; one 400 Gb/s port for each GPU. Data sheets
GPUS_PER_NODE = 8

# µs. NCCL's model: base, then a hop inside a node and between nodes.
BASE = {("tree", "LL"): 4.4, ("tree", "LL128"): 4.4, ("tree", "Simple"): 0, ("ring", "LL"): 3.6, ("ring", "LL128"): 10, ("ring", "Simple"): 8.4}
INSIDE = {("tree", "LL"): 0.52, ("tree", "LL128"): 1.2, ("tree", "Simple"): 28, ("ring", "LL"): 0.47, ("ring", "LL128"): 1.9, ("ring", "Simple"): 3.4}
BETWEEN = {("tree", "LL"): 5, ("tree", "LL128"): 8.5, ("tree", "Simple"): 50, ("ring", "LL"): 2.7, ("ring", "LL128"): 4, ("ring", "Simple"): 9.6}
# Share of the links that a protocol carries data on.
SHARE = {("tree", "LL"): 0.9 / 3.8, ("tree", "LL128"): 0.9 * 0.915, ("tree", "Simple"): 0.9, ("ring", "LL"): 0.25, ("ring", "LL128"): 0.92, ("ring", "Simple"): 1.0}


def all_reduce(size, gpus):
    """µs of one ncclAllReduce of `size` bytes over so many GPUs, by the best algorithm and protocol, and which that is."""
    if gpus == 1:
        return 0, "-"
    nodes = max(1, gpus // GPUS_PER_NODE)
    each = min(gpus, GPUS_PER_NODE)
    bus = NVLINK if nodes == 1 else NETWORK * each     # every GPU of a node has a port of its own, and all work
    best = (math.inf, "")
    for way in BASE:
        algorithm, protocol = way
        inside = INSIDE[way] * (1.8 if nodes > 1 and protocol == "LL" else 1)
        if algorithm == "ring":
            hops_between = 2 * (nodes - 1)
            latency = BASE[way] + (2 * (gpus - 1) - hops_between) * inside + hops_between * BETWEEN[way]
            rate = bus * SHARE[way] * gpus / (2 * (gpus - 1))
        else:
            latency = BASE[way] + 2 * ((each - 1) * inside + math.log2(nodes) * BETWEEN[way])
            rate = bus * SHARE[way] * 0.5
        best = min(best, (latency + size / rate, f"{algorithm}, {protocol}"))
    return best


def step_parts(task):
    """(F, C): µs that do not shrink with the batch, µs that do."""
    activations = LAYERS * PASSES_OVER_ACTIVATIONS * task.batch * task.tokens * DIM * BYTES / MEMORY
    return KERNELS * LAUNCH, LAYERS * task.attention + activations


def row(cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def tables(counts):
    row(["task", "batch", "parameters", "fixed", "work", "a step on 1"] + [f"all-reduce on {n} (algorithm)" for n in counts])
    row(["---"] * (6 + len(counts)))
    for name, task in TASKS.items():
        fixed, work = step_parts(task)
        reduces = [all_reduce(4 * task.parameters, n) for n in counts]
        row([name, task.batch, f"{task.parameters:,}", round(fixed), round(work), round(fixed + work)] + [f"{t:.0f} ({how})" for t, how in reduces])
    for title, weak in (("the same batch", False), ("a batch N times as large", True)):
        print(f"\n{title}: examples a second over those of one GPU (share of the time that is all-reduce)\n")
        row(["task", "steps of a run, minutes on 1"] + [str(n) for n in counts])
        row(["---"] * (2 + len(counts)))
        for name, task in TASKS.items():
            fixed, work = step_parts(task)
            cells = []
            for n in counts:
                if not weak and n > task.batch:
                    cells.append("fewer examples than GPUs")
                    continue
                reduce = all_reduce(4 * task.parameters, n)[0]
                time = fixed + (work if weak else work / n) + reduce
                cells.append(f"{(n if weak else 1) * (fixed + work) / time:.1f} ({100 * reduce / time:.0f} %)")
            row([name, f"{task.steps:,}, {task.steps * (fixed + work) / 6e7:.1f}"] + cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512], help="powers of two; whole nodes of 8 from there on")
    arguments = parser.parse_args()
    for count in arguments.gpus:
        if count < 2 or count & (count - 1):
            parser.error(f"--gpus {count}: a power of two above 1 is wanted")
    tables(arguments.gpus)


if __name__ == "__main__":
    main()
