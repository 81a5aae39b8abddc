# SPDX-License-Identifier: MIT
"""Compares the logits of the model in PyTorch with those that lotformer-eval wrote.

    pytorch_model.py CASES                  lines of name, checkpoint, file of examples, table of predictions; exit code 1 and a sentence a case
    pytorch_model.py --shake RUN FOLDER     the run's last checkpoint as FOLDER, with parameters at the scale of a long training
"""
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python"))
from lotformer_model import score  # noqa: E402
from lotformer_torch_model import load, read_checkpoint, write_safetensors  # noqa: E402
from lotformer_torch_model.data import read_examples  # noqa: E402
from lotformer_torch_model.defaults import ATTENTION, completed  # noqa: E402

ALLOWED = 1e-5


def read_predictions(path):
    """{row: (label, prediction, logits)}"""
    lines = [line.split("\t") for line in pathlib.Path(path).read_text().splitlines()]
    logits = [i for i, name in enumerate(lines[0]) if name.startswith("logit:")]
    return {int(cells[0]): (int(cells[1]), int(cells[2]), torch.tensor([float(cells[i]) for i in logits], dtype=torch.float64))
            for cells in lines[1:]}


def compare(run, data, predictions, dtype):
    """(largest difference of a logit, spread of the logits between examples, unconverged problems); AssertionError for other rows."""
    model, checkpoint = load(run, dtype=dtype)
    config, wanted = checkpoint.config, read_predictions(predictions)
    if "imported_from" in checkpoint.state:  # scored in one batch
        config = {**config, "eval": {"batch_size": len(wanted), "drop_last": True}}
    examples = read_examples(data, config, model.sequences)
    found = score(model, examples, config)
    assert found.keys() == wanted.keys(), f"{len(found)} rows instead of {len(wanted)}"
    assert all(e.label == wanted[e.row][0] for e in examples), "other labels"
    matrix = torch.stack([wanted[row][2] for row in sorted(wanted)])
    worst = float((torch.stack([found[row] for row in sorted(found)]) - matrix).abs().max())
    return worst, float(matrix.std(0).max()), sum(getattr(m, "unconverged", 0) for m in model.modules())


def wrong_defaults(state):
    """Keys of defaults.py that a recorded configuration without settings of its own has otherwise."""
    kind = state["model"]["attention"]["kind"]
    alone = completed({"model": {"attention": {"kind": kind}}})["model"]["attention"]
    return [f"default of {kind}.{key} is {state['model']['attention'].get(key)!r}, defaults.py has {value!r}"
            for key, value in alone.items() if key in ATTENTION[kind] and state["model"]["attention"].get(key) != value]


def shake(run, folder):
    """After a few steps the embeddings are so small that no map matters, or the head has died: logits would be nearly the same."""
    checkpoint = read_checkpoint(run, "last")
    torch.manual_seed(3)
    buffers = ("attention.projection", "attention.calls", "attention.directions", "attention.pivot_logits", "attention.log_relaxation")
    for name, value in checkpoint.tensors.items():
        if name.endswith(buffers):
            continue
        embedding = name.startswith(("encoder.token", "encoder.position", "encoder.end_position", "encoder.class_token"))
        noise = torch.randn(value.shape) * (1 if embedding else 0.02 if "attention." in name else 0.3)
        checkpoint.tensors[name] = value * (1.5 if name.endswith(("qkv.weight", "out.weight", "head1.weight", "head2.weight")) else 1) + noise
    folder.mkdir(parents=True)
    write_safetensors(folder / "model.safetensors", checkpoint.tensors)
    (folder / "state.json").write_text(json.dumps(checkpoint.state))


def main():
    if sys.argv[1] == "--shake":
        shake(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
        return
    complaints = []
    for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
        name, run, data, predictions = line.split("\t")
        worst, spread, unconverged = compare(run, data, predictions, torch.float64)
        single = compare(run, data, predictions, torch.float32)[0] if name in ATTENTION else worst
        print(f"{name}: logits differ by at most {worst:.1e}{f', in float32 by {single:.1e}' if single != worst else ''}; they vary by {spread:.1e}")
        if not max(worst, single) <= ALLOWED * max(1, spread) or unconverged:  # float32 is relative to what is summed
            complaints.append(f"{name}: logits differ by {worst:.2g} ({single:.2g} in float32), {unconverged} problems have not converged")
        if not spread > 1000 * ALLOWED:
            complaints.append(f"{name}: logits hardly depend on the example ({spread:.2g}); the case proves nothing")
        if name in ("softmax", "linear", "performer", "sinkformer", "espformer", "causal_pivot"):
            complaints += wrong_defaults(load(run)[1].config)
    if complaints:
        sys.exit("\n".join(complaints))


main()
