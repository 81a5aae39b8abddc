#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lower bounds of a call of pivot attention on an H100, forward and backward, resource by resource: what each would take if nothing else
did and it was never idle. Arithmetic on shapes (kernel_shapes.py), no measurement.

    scripts/dev/kernel_bounds.py                 the table in Markdown
"""
import kernel_shapes as shapes

CLOCKS_PER_US = shapes.MULTIPROCESSORS * shapes.GHZ * 1000  # of all multiprocessors together
# A multiprocessor and clock: exponentials; multiply-adds; bytes of shared memory; operations of mma.sync on bf16, at the seven clocks an
# instruction of 4096 that PIPES has, too.
EXPONENTIALS, MULTIPLY_ADDS, SHARED_BYTES, TENSOR = 16, 128, 128, 4 * 4096 / 7

# Times that the scores of one side are computed, and exponentiated: F1, B1 or B2 and B3 both sides, F2 the queries.
SCORES = 2 + 1 + 2 + 2
# Products of n x r by r x d or of their transposes, beside the scores, in bf16 products a float32-accurate one takes: F1 Y 3, F2 O 6, B1
# w and dW 3 and 3, B2 w 3, B3 w 3 and 3, dQ and dK 6 and 6, dV 6, dZ 3 and 3.
PRODUCTS = 3 + 6 + 3 + 3 + 3 + 3 + 3 + 6 + 6 + 6 + 3 + 3
SCORE_TERMS, GRAM_TERMS = 3, 6


def bounds(task, steps):
    """{resource: us} of a call whose sides take `steps`."""
    problems, tokens, pivots = shapes.SHAPES[task]
    elements = problems * tokens * pivots  # of a side
    pairs = elements * shapes.HEAD_DIM
    grams = 2 * (steps.grams + 1)
    multiply_adds = 2 * 2 * elements * steps.passes  # row sums and column sums of both sides
    if pivots >= 16:
        blocks = pivots // 16
        gram = 2 * elements * pivots * GRAM_TERMS * (blocks + 1) / (2 * blocks)  # the lower triangle
        tensor = 2 * pairs * (SCORES * SCORE_TERMS + PRODUCTS) + grams * gram
        shared = 2 * elements * 4 * steps.passes
    else:  # float32 on the ordinary pipes, one multiply-add for each product; scores in shared memory
        tensor = 0
        multiply_adds += pairs * (SCORES + 12) + grams * elements * (pivots + 1) / 2
        shared = 2 * elements * 4 * steps.passes
    tensors = problems * tokens * shapes.HEAD_DIM * 2 / shapes.BYTES_PER_US
    return {
        "exponentials": elements * SCORES / EXPONENTIALS / CLOCKS_PER_US,
        "multiply-adds": multiply_adds / MULTIPLY_ADDS / CLOCKS_PER_US,
        "shared memory": shared / SHARED_BYTES / CLOCKS_PER_US,
        "tensor cores": tensor / TENSOR / CLOCKS_PER_US,
        "device memory": 18 * tensors,  # kernel_calls.floor
    }


def main():
    names = None
    for task in shapes.SHAPES:
        for scores, (_, steps) in shapes.MIXES[task].items():
            found = bounds(task, steps)
            if names is None:
                names = list(found)
                print("| task | scores | " + " | ".join(names) + " | largest | aim |")
                print("| --- " * (len(names) + 4) + "|")
            aim = shapes.AIMS[task][scores != "1 ε"]
            print(f"| {task} | {scores} | " + " | ".join(f"{found[name]:.0f}" for name in names) + f" | {max(found.values()):.0f} | {aim} |")


if __name__ == "__main__":
    main()
