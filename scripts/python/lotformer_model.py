#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Scores a checkpoint of ours with the model in plain PyTorch, or exports it to ONNX (docs/interchange.md).

    lotformer_model.py RUN_OR_CHECKPOINT --data FILE [--out predictions.tsv] [--checkpoint best|last] [--float32]
    lotformer_model.py RUN_OR_CHECKPOINT --onnx OUT.onnx

FILE: a .tsv of listops, retrieval or custom, or a .jsonl with lines of `lotformer-data show --json` of any task. The table has the form of
`lotformer-eval --predictions`. Needs torch; --onnx the package onnx as well. Exit codes: 0, 2.
"""
import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lotformer_torch_model import load  # noqa: E402
from lotformer_torch_model.data import batches, read_examples  # noqa: E402
from lotformer_torch_model.onnx_export import export_onnx  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="RUN_OR_CHECKPOINT", help="a run folder (its best checkpoint, else the last) or a checkpoint folder")
    parser.add_argument("--checkpoint", default="", help="best or last, of a run folder")
    parser.add_argument("--data", metavar="FILE", help="examples to score")
    parser.add_argument("--out", metavar="FILE", help="write a table of predictions")
    parser.add_argument("--float32", action="store_true", help="compute in float32 instead of float64")
    parser.add_argument("--onnx", metavar="FILE", help="write the model as ONNX (float32)")
    arguments = parser.parse_args()
    if not arguments.data and not arguments.onnx:
        parser.error("nothing to do: name --data FILE or --onnx FILE")
    if arguments.out and not arguments.data:
        parser.error("--out needs --data FILE")
    return arguments


def score(model, examples, config):
    """{row: logits} of all examples, as float64."""
    logits = {}
    for batch in batches(examples, config):
        for example, values in zip(batch.examples, model(batch.ids, batch.lengths, batch.positions).double()):
            logits[example.row] = values
    return logits


def write_table(path, examples, logits):
    classes = range(len(next(iter(logits.values()))))
    lines = ["\t".join(["row", "label", "prediction", "length"] + [f"p:{c}" for c in classes] + [f"logit:{c}" for c in classes])]
    for example in examples:
        z = logits[example.row]
        cells = [example.row, example.label, int(z.argmax()), len(example.sequences[0])]
        lines.append("\t".join([str(c) for c in cells] + [f"{p:.6g}" for p in torch.softmax(z, 0)] + [f"{v:.9g}" for v in z]))
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


def main():
    arguments = parse_arguments()
    model, checkpoint = load(arguments.path, arguments.checkpoint, torch.float32 if arguments.float32 or arguments.onnx else torch.float64)
    kind = checkpoint.config["model"]["attention"]["kind"]
    print(f"{checkpoint.path}: step {checkpoint.step}, task {checkpoint.config['task']}, attention {kind}")
    if arguments.data:
        examples = read_examples(arguments.data, checkpoint.config, model.sequences)
        logits = score(model, examples, checkpoint.config)
        right = sum(int(logits[e.row].argmax()) == e.label for e in examples)
        loss = sum(float(-torch.log_softmax(logits[e.row], 0)[e.label]) for e in examples) / len(examples)
        print(f"{len(examples)} examples: accuracy {100 * right / len(examples):.2f} %, loss {loss:.6f}")
        left = sum(getattr(module, "unconverged", 0) for module in model.modules())
        if left:
            print(f"{left} transport problems ended above a residual of 1e-6; lotformer-eval may differ there", file=sys.stderr)
        if arguments.out:
            write_table(arguments.out, examples, logits)
    if arguments.onnx:
        print(export_onnx(model, checkpoint.config, arguments.onnx))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"lotformer_model.py: error: {error}", file=sys.stderr)
        sys.exit(2)
