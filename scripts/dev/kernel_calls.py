#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Microseconds of a call of pivot attention on an H100, from the machine code of its kernels: a model, no measurement.

Every phase of every kernel (kernel_shapes.py): cycles of one warp through its code, each loop as often as the shape runs it
(kernel_cycles.py), and cycles that its instructions keep each pipe of the multiprocessor busy with all the warps that are
resident, which are taken to share it without loss; the larger counts. Times the phases a CTA goes through, times waves of CTAs.

Not seen: launch latencies (about 1 us a kernel in a captured graph), bank conflicts, the instruction cache, clusters that do not
fit a GPC, passes that differ between problems. +-50 %; a ratio of two versions is better. The floor is bytes over bandwidth.

    scripts/dev/kernel_calls.py                  compiles R = 4, 8, 32, 64 for sm_90 and prints the table in Markdown
    scripts/dev/kernel_calls.py --detail text    phases of one shape at 3 passes
    scripts/dev/kernel_calls.py --prices         of a Newton step, in Sinkhorn steps
    scripts/dev/kernel_calls.py --cubins FOLDER  of kernels_R.sm_90.cubin that are there already
"""
import argparse
import collections
import math
import pathlib
import sys

import kernel_cycles as machine
import kernel_model
import kernel_shapes as shapes

KERNELS = [("F1", "pivot_solve", "resident"), ("redo", "pivot_solve", "streamed"), ("F2", "pivot_output", ""), ("B1", "pivot_adjoint", ""),
           ("B2", "pivot_adjoint", ""), ("B3", "pivot_apply", ""), ("B4", "pivot_reduce", "")]
FORWARD = 3  # of them


def power_of_two(x):
    return 1 << max(0, math.ceil(math.log2(x)))


def newton_always(passes):
    """Steps of so many passes where all are Newton's but the first, which is Sinkhorn's."""
    return shapes.Steps(passes, max(0, passes - 2), max(0, passes - 2), 0)


def plan(task, steps):
    """What core.cpp plans for a task, and the numbers that TRIPS asks for."""
    problems, tokens, pivots = shapes.SHAPES[task]
    v = shapes.layout(pivots)
    wide = pivots in shapes.WIDE and tokens > v.units * v.block
    v.problems, v.tokens, v.steps, v.heads, v.wide_solver = problems, tokens, steps, shapes.HEADS[task], wide
    v.batch = problems // v.heads
    v.rows = -(-tokens // v.block)
    v.stream_cluster = min(8, power_of_two(v.rows / shapes.STREAM_BLOCKS))
    v.splits = min(shapes.MOST_SPLITS, -(-v.rows // shapes.STREAM_BLOCKS))
    v.redo = max(1, shapes.MULTIPROCESSORS * max(1, 512 // v.t) // v.stream_cluster)
    return v


def launch(v, label):
    """(layout with the numbers of this kernel, CTAs)"""
    wide = label == "F1" and v.wide_solver
    w = shapes.layout(v.r, wide)
    for name, value in vars(v).items():
        if name not in vars(w):
            setattr(w, name, value)
    w.side, w.c, w.blocks = int(label == "B2"), 1, 1
    if label == "F1":
        w.c = power_of_two(v.tokens / (w.units * w.block))
        ctas = 2 * v.problems * w.c
    elif label == "redo":
        ctas = v.redo * v.stream_cluster
    elif label == "F2":
        w.blocks, ctas = -(-v.rows // v.splits), v.problems * v.splits
    elif label in ("B1", "B2"):
        w.c, w.blocks = v.stream_cluster, -(-v.rows // v.stream_cluster)
        ctas = v.problems * w.c
    elif label == "B3":
        w.blocks = -(-v.rows // v.splits)
        ctas = 2 * v.problems * v.splits
    else:
        w.t, ctas = 256, v.heads * v.r + 1
    return w, ctas


def resident_ctas(kernel, w, label):
    """CTAs that a multiprocessor holds at a time."""
    registers = -(-kernel.registers // 8) * 8 * w.t
    return max(1, min(shapes.REGISTERS // registers, shapes.THREADS // w.t, shapes.SHARED // shapes.shared_bytes(w, label)))


def kernel_time(kernel, v, label):
    """(us, phases: {name: us}, CTAs a multiprocessor, waves)"""
    w, ctas = launch(v, label)
    most = resident_ctas(kernel, w, label)
    together = min(most, math.ceil(ctas / shapes.MULTIPROCESSORS))
    clusters = max(1, shapes.MULTIPROCESSORS * together // w.c)
    waves = math.ceil(ctas / w.c / clusters)
    w.keys = 0.5 if waves > 1 else 1
    counts = {name: count for name, _, count in shapes.PHASES[kernel.kind]}
    phases = {}
    for phase, (latency, busy) in kernel.costs(w, w.warps * together if label != "B4" else 8 * together).items():
        cycles = max([latency, *busy.values()])
        bound = "latency" if cycles == latency else max(busy, key=busy.get)
        phases[phase] = (counts.get(phase, lambda _: 1)(w) * cycles * waves / shapes.GHZ / 1000, bound)
    return sum(us for us, _ in phases.values()), phases, together, waves


def rows(kernels, task, steps):
    """[(label, us, phases, CTAs a multiprocessor, waves, KB of code)]"""
    v, result = plan(task, steps), []
    for label, kind, form in KERNELS:
        warps = 16 if label == "F1" and v.wide_solver else v.warps
        suffix = f"<{v.r}>" if kind == "pivot_reduce" else f"<{v.r}x{warps}{',' + form if form else ''}>"
        kernel = kernels[v.r][kind + suffix]
        result.append((label, *kernel_time(kernel, v, label), kernel.size >> 10))
    return result


def floor(task):
    """Microseconds to move q, k, v and out once, and all of them and their gradients in the backward pass, at full bandwidth."""
    problems, tokens, _ = shapes.SHAPES[task]
    tensor = problems * tokens * shapes.HEAD_DIM * 2 / shapes.BYTES_PER_US
    # F1 reads q, k, v; F2 q and out. B1 reads q twice and dO twice, B2 k, v; B3 q, k, v, dO and writes three.
    return 5 * tensor, (5 + 4 + 2 + 7) * tensor


def print_table(kernels):
    print("| task | steps of a side | passes | Newton |" + "".join(f" {label} |" for label, *_ in KERNELS) +
          " forward | forward + backward | aim | bandwidth floor | flash softmax |")
    print("| --- " * (len(KERNELS) + 9) + "|")
    for task in shapes.SHAPES:
        aims = dict(zip((3, 8), shapes.AIMS[task]))
        table = [("Newton", newton_always(passes), aims[passes]) for passes in aims]
        table += [(f"{scores}, {policy}", steps, shapes.AIMS[task][scores != "1 ε"])
                  for scores, policies in shapes.MIXES.get(task, {}).items() for policy, steps in zip(("Newton", "price"), policies)]
        for name, steps, aim in table:
            times = [us for _, us, *_ in rows(kernels, task, steps)]
            cells = [f"{us:.0f}" for us in times]
            print(f"| {task} | {name} | {steps.passes:g} | {steps.newton:g} | {' | '.join(cells)} | {sum(times[:FORWARD]):.0f} | "
                  f"{sum(times):.0f} | {aim} | {floor(task)[1]:.0f} | {shapes.FLASH[task]} |")


def print_prices(kernels):
    """What a Newton step costs in Sinkhorn steps: src/ops/pivot/cuda/prices.h."""
    for task in shapes.SHAPES:
        label, _, phases, *_ = rows(kernels, task, shapes.Steps(2, 1, 0, 1))[0]
        us = collections.defaultdict(float, {phase: part for phase, (part, _) in phases.items()})
        # At these steps: two evaluations, a Newton step, a mixed one, and one Gram matrix.
        step = (us["evaluate"] + us["decide"]) / 2
        newton, other = step + us["Gram"] + us["system"] + us["Newton's x"], step + us["mix"] + rows(
            kernels, task, shapes.Steps(2, 0, 0, 0))[0][2]["propose"][0]
        print(f"{task} {label}: Newton {newton:.1f} us, other {other:.1f} us, price {newton / other:.1f}")


def print_detail(kernels, task, steps):
    for label, us, phases, together, waves, size in rows(kernels, task, steps):
        print(f"{label}: {us:.1f} us, {together} CTAs a multiprocessor, {waves} waves, {size} KB of code")
        for phase, (part, bound) in sorted(phases.items(), key=lambda item: -item[1][0]):
            if part >= 0.05:
                print(f"    {part:8.1f} {phase} ({bound})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detail", choices=[*shapes.SHAPES], help="phases of one shape")
    parser.add_argument("--passes", type=float, default=3, help="with --detail")
    parser.add_argument("--newton", type=float, help="with --detail: Newton steps among them, all but the first if not given")
    parser.add_argument("--prices", action="store_true", help="of a Newton step, instead of the table")
    parser.add_argument("--cubins", type=pathlib.Path)
    parser.add_argument("--nvdisasm")
    parser.add_argument("--nvcc")
    options = parser.parse_args()
    nvdisasm, kernels = machine.find("nvdisasm", options.nvdisasm), {}
    tasks = [options.detail] if options.detail else [*shapes.SHAPES]
    for pivots in sorted({shapes.SHAPES[task][2] for task in tasks}):
        cubin = options.cubins / f"kernels_{pivots}.sm_90.cubin" if options.cubins else machine.compile_cubin(
            machine.find("nvcc", options.nvcc), pivots, "sm_90", machine.ROOT / "build/kernel-cycles")
        kernels[pivots] = kernel_model.read_kernels(cubin, nvdisasm)
    if options.detail:
        steps = newton_always(options.passes)
        if options.newton is not None:
            mixed = max(0, options.passes - 2 - options.newton)
            steps = shapes.Steps(options.passes, options.newton, options.newton, mixed)
        print_detail(kernels, options.detail, steps)
    elif options.prices:
        print_prices(kernels)
    else:
        print_table(kernels)
    if stale := list(kernel_model.stale_data(all_kernels=not options.detail)):
        sys.exit("\n".join(["kernel_calls: kernel_shapes.py is stale", *stale]))


if __name__ == "__main__":
    main()
