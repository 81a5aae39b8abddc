# SPDX-License-Identifier: MIT
"""Exports checkpoints to ONNX and has onnxruntime give the logits of the model in PyTorch, for batches of other sizes than the exported one.

    pytorch_onnx.py CASES     lines of name, run or checkpoint, file of examples, ...; exit code 1 and a sentence a case that differs
"""
import pathlib
import sys
import tempfile

import onnxruntime
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python"))
from lotformer_torch_model import load  # noqa: E402
from lotformer_torch_model.data import batches, read_examples  # noqa: E402
from lotformer_torch_model.onnx_export import export_onnx, obstacle  # noqa: E402

ALLOWED = 1e-5


def difference(run, data, path):
    """Largest difference of a logit."""
    model, checkpoint = load(run, dtype=torch.float32)
    export_onnx(model, checkpoint.config, path)
    session, worst = onnxruntime.InferenceSession(str(path)), 0.0
    for batch in batches(read_examples(data, checkpoint.config, model.sequences), checkpoint.config):
        inputs = {"ids": batch.ids, "lengths": batch.lengths, "positions": batch.positions}
        found = session.run(None, {name: value.numpy() for name, value in inputs.items() if value is not None})[0]
        worst = max(worst, float((torch.tensor(found) - model(batch.ids, batch.lengths, batch.positions)).abs().max()))
    return worst


def refused(run, why, path):
    model, checkpoint = load(run, dtype=torch.float32)
    try:
        export_onnx(model, checkpoint.config, path)
    except ValueError as error:
        return why in str(error)
    return False


def main():
    complaints = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
            name, run, data = line.split("\t")[:3]
            why = obstacle(load(run)[1].config)
            if why:
                if not refused(run, why, path):
                    complaints.append(f"{name}: is not refused")
                continue
            worst = difference(run, data, path)
            print(f"{name}: onnxruntime differs by at most {worst:.1e}")
            if not worst <= ALLOWED:
                complaints.append(f"{name}: onnxruntime differs by {worst:.2g}")
    if complaints:
        sys.exit("\n".join(complaints))


main()
