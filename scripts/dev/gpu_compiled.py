# SPDX-License-Identifier: MIT
"""The published iteration under torch.compile, at the shapes of the tasks. For developers; JSON lines as those of pivot_check."""
import json
import pathlib
import statistics
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from published_iteration import attention  # noqa: E402

TASKS = {  # problems, tokens, pivots, half-iterations, epsilon
    "listops": (64, 2048, 4, 50, 0.1),
    "text": (64, 4096, 32, 50, 0.1),
    "retrieval": (64, 4096, 64, 50, 0.1),
    "image": (128, 1024, 8, 5, 25.0),
    "pathfinder": (256, 1024, 64, 50, 0.1),
}
HEAD_DIM, HEADS = 32, 2


def measure(task, runs):
    problems, tokens, pivots, half_iterations, epsilon = TASKS[task]
    generator = torch.Generator(device="cuda").manual_seed(1)
    shape = (problems // HEADS, HEADS, tokens, HEAD_DIM)
    q, k, v = (torch.randn(shape, device="cuda", generator=generator).requires_grad_() for _ in range(3))
    z = (torch.randn((HEADS, pivots, HEAD_DIM), device="cuda", generator=generator) * epsilon).requires_grad_()
    d_out = torch.randn(shape, device="cuda", generator=generator)
    compiled = torch.compile(attention)

    def both():
        torch.autograd.grad(compiled(q, k, v, z, epsilon, half_iterations), (q, k, v, z), d_out)

    def forward():
        with torch.no_grad():
            compiled(q, k, v, z, epsilon, half_iterations)

    for op, body in (("forward", forward), ("forward_backward", both)):
        for _ in range(3):
            body()
        times = []
        for _ in range(runs):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            body()
            stop.record()
            stop.synchronize()
            times.append(1e3 * start.elapsed_time(stop))
        deciles = statistics.quantiles(times, n=10)
        print(json.dumps({"kind": "bench", "task": task, "implementation": "published_compiled", "op": op, "dtype": "float32",
                          "launch": "launched", "cache": "warm", "problems": problems, "tokens": tokens, "pivots": pivots,
                          "head_dim": HEAD_DIM, "half_iterations": half_iterations, "median_us": statistics.median(times),
                          "p10_us": deciles[0], "p90_us": deciles[-1]}), flush=True)


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    for name in ("listops", "image") if quick else TASKS:
        try:
            measure(name, 10 if quick else 30)
        except Exception as error:  # one task's failure must not hide the others
            print(json.dumps({"kind": "bench_failed", "task": name, "implementation": "published_compiled", "launch": "launched",
                              "reason": str(error).splitlines()[0][:300] if str(error) else type(error).__name__}), flush=True)
