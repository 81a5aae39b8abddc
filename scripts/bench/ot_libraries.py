#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Entropic transport of n points to r points: our solver beside POT, one thread, float64, on one CPU. One JSON line a problem and a solver.

    scripts/bench/ot_libraries.py --program BUILD/transport_time [--n 1024 4096 16384] [--r 8 32 64] [--epsilon 0.05 0.005]
                                  [--tolerance 1e-9] [--rounds 5] [--methods sinkhorn sinkhorn_log] [--most 20000] [--table]

Points are uniform in the unit square, costs squared distances, masses uniform, the seed fixed. BUILD/transport_time is built from docs/examples
against an installed lotformer (docs/library.md). Both stop at |column sums - b|_1 <= tolerance: POT looks at the Euclidean norm of that
difference, so it is given tolerance / sqrt(r), which is the stricter of the two. Errors are measured on the plans, in both cases by the same
sums. A round that takes more than a minute is the only one of its solver. For developers; needs numpy and POT.
"""
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before numpy is loaded
    os.environ[_name] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402

import numpy  # noqa: E402
import ot  # noqa: E402

LONG_ROUND = 60


def problem_of(n, r):
    draw = numpy.random.default_rng(0)
    x, y = draw.random((n, 2)), draw.random((r, 2))
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def pot(cost, epsilon, method, options):
    n, r = cost.shape
    a, b = numpy.full(n, 1 / n), numpy.full(r, 1 / r)
    seconds, found, said = [], None, None
    for _ in range(options.rounds):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged is in the error
            found, said = ot.sinkhorn(a, b, cost, epsilon, method=method, numItermax=options.most, stopThr=options.tolerance / r ** 0.5, log=True)
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > LONG_ROUND:
            break
    return {"solver": f"POT {ot.__version__} {method}", "seconds": seconds, "iterations": int(said["niter"]),
            "source_error": float(numpy.abs(found.sum(1) - a).sum()), "target_error": float(numpy.abs(found.sum(0) - b).sum()),
            "cost": float((found * cost).sum())}


def ours(cost, epsilon, options):
    with tempfile.NamedTemporaryFile(suffix=".f64") as file:
        cost.tofile(file)
        file.flush()
        done = subprocess.run([options.program, file.name, *(str(x) for x in (*cost.shape, epsilon, options.tolerance, options.rounds))],
                              check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    return {"solver": "lotformer", **answer, "iterations": answer.pop("passes")}


def table(rows):
    print("| n | r | epsilon | solver | ms | iterations | row error | column error |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['n']} | {row['r']} | {row['epsilon']:g} | {row['solver']} | {row['median_ms']:.1f} | {row['iterations']} | "
              f"{row['source_error']:.0e} | {row['target_error']:.0e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--n", nargs="+", type=int, default=[1024, 4096, 16384])
    parser.add_argument("--r", nargs="+", type=int, default=[8, 32, 64])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[0.05, 0.005])
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=["sinkhorn", "sinkhorn_log"])
    parser.add_argument("--most", type=int, default=20000, help="iterations of POT at most")
    parser.add_argument("--table", action="store_true", help="a Markdown table at the end, on stdout; the lines then go to stderr")
    options = parser.parse_args()
    options.program = options.program.resolve()
    rows = []
    for n in options.n:
        for r in options.r:
            for epsilon in options.epsilon:
                cost = problem_of(n, r)
                for found in [ours(cost, epsilon, options), *(pot(cost, epsilon, method, options) for method in options.methods)]:
                    seconds = found.pop("seconds")
                    rows.append({"kind": "ot_libraries", "n": n, "r": r, "epsilon": epsilon, "tolerance": options.tolerance, **found,
                                 "median_ms": statistics.median(seconds) * 1e3, "rounds": len(seconds)})
                    print(json.dumps(rows[-1]), flush=True, file=sys.stderr if options.table else sys.stdout)
    if options.table:
        table(rows)


if __name__ == "__main__":
    main()
