# SPDX-License-Identifier: MIT
"""Compares the attention modules in PyTorch with the golden numbers, in float64.

    pytorch_golden.py GOLDEN     GOLDEN: tests/data/golden; exit code 1 and a sentence a case that differs
"""
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python"))
from lotformer_torch_model import read_safetensors  # noqa: E402
from lotformer_torch_model.attention import build_attention  # noqa: E402


def options_of(case):
    """model.attention of a case."""
    given, kind, mode = case["hyperparameters"], case["module"], case["family"]
    options = {"kind": kind, "mode": mode, "half_iterations": given.get("half_iterations"), "epsilon": given.get("eps"), "kernel": "softmax"}
    if kind == "sinkformer":
        options.update(eval_tolerance=1e-15, max_half_iterations=100000)
    if kind == "espformer":
        options.update(tau=given["tau"], inverse_temperature=given["inverse_temperature"], slices="axes", weights="exact", hard=False)
    if kind == "lotformer":
        options.update(marginals="both", relaxation="inf", qk_norm="none", max_passes=32, free_keys="tokens", masses="learned")
    return options


def difference(case, tensors):
    names = {"pivots": "pivots", "pivot_logits": "pivot_logits", "projection": "projection"}
    state = {own: tensors[name].double() for name, own in names.items() if name in tensors}
    module = build_attention(options_of(case), state)
    mask = tensors["mask"].bool() if "mask" in tensors else torch.ones(tensors["q"].shape[0], tensors["q"].shape[2], dtype=torch.bool)
    found = module(*(tensors[name].double() for name in "qkv"), mask)
    error = (found - tensors["out"]).abs()
    if "reference" not in case["family"]:
        error = error.masked_fill(~mask[:, None, :, None], 0)
    return float(error.max())


def main():
    folder, count, complaints = pathlib.Path(sys.argv[1]), {}, []
    for case in json.loads((folder / "index.json").read_text())["cases"]:
        if case["module"] in ("model", "schedule"):
            continue
        error = difference(case, read_safetensors(folder / case["file"]))
        count[case["module"]] = count.get(case["module"], 0) + 1
        if not error <= case["tolerance"]["f64"]["out"]:
            complaints.append(f"{case['file']}: differs by {error:.2g}, {case['tolerance']['f64']['out']:.2g} is allowed")
    missing = {"softmax", "performer", "sinkformer", "espformer", "lotformer"} - count.keys()
    if complaints or missing:
        sys.exit("\n".join(complaints + [f"no case of {name}" for name in sorted(missing)]))
    print(f"{sum(count.values())} golden cases as recorded: {count}")


main()
