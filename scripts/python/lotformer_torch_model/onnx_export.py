# SPDX-License-Identifier: MIT
"""ONNX, where the operators of a module allow it."""
import torch

OPSET = 18


def obstacle(config):
    """Why the attention module of a configuration cannot be exported; empty when it can."""
    options = config["model"]["attention"]
    kind, mode = options["kind"], options.get("mode")
    if kind in ("lotformer", "sinkformer") and mode == "exact":
        return (f"{kind} with mode exact iterates until each problem has converged, a number of steps that the data decide"
                + (", and factorises matrices, for which ONNX has no operator" if kind == "lotformer" else "")
                + "; modes with a fixed number of half-iterations can be exported")
    if kind == "espformer":
        return "espformer cuts every sequence to its real tokens before it sorts, so shapes depend on the data; no mode of it is exported"
    return ""


def example_inputs(model, config):
    """(arguments, their names, their axes that stay open)."""
    rows = model.encoder.position.num_embeddings - (1 if model.encoder.class_token is not None else 0)
    width = config["data"]["pad_to"] or min(12, rows)
    lengths = torch.full((model.sequences, 3), width, dtype=torch.int64)
    lengths[:, 1] = max(1, width - 2)
    ids = torch.ones(model.sequences, 3, width, dtype=torch.int64)
    arguments, names = [ids, lengths], ["ids", "lengths"]
    if config["data"]["mask_zero_pixels"]:
        arguments.append(torch.arange(width).expand(ids.shape).clone())
        names.append("positions")
    open_axes = {name: {1: "batch"} if name == "lengths" else {1: "batch", 2: "tokens"} for name in names}
    return tuple(arguments), names, open_axes


def export_onnx(model, config, path):
    """Writes the model and returns a sentence about it. ValueError where the module cannot be exported, or a package is missing."""
    why = obstacle(config)
    if why:
        raise ValueError(f"--onnx: {why}")
    arguments, names, open_axes = example_inputs(model, config)
    try:
        import onnx  # noqa: F401   torch wants it, but only once it has written the file
    except ImportError as error:
        raise ValueError(f"--onnx needs the Python package onnx: {error}") from None
    torch.onnx.export(model, arguments, str(path), input_names=names, output_names=["logits"], opset_version=OPSET, dynamic_axes=open_axes,
                      dynamo=False)
    return f"{path}: ONNX opset {OPSET}; inputs {', '.join(names)} (int64), output logits"
