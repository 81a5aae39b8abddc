#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a checkpoint of ours from a state dict of the published LOTFormer code or of Skyformer's (docs/interchange.md).

    import_published.py STATE_DICT --source lotformer|skyformer --task TASK --out FOLDER [--attention softmax] [--vocab FILE] ...

STATE_DICT: what their trainers save with torch.save, or a .safetensors file with the same names. FOLDER gets model.safetensors, state.json
and config.yaml: `lotformer-eval FOLDER --set data.root=DIR` scores it, `lotformer-train --config FOLDER/config.yaml --init-from FOLDER
--run-dir RUN` trains on from it. Needs torch. Exit codes: 0, 2.
"""
import argparse
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lotformer_torch_model import write_safetensors  # noqa: E402
from lotformer_torch_model.published import convert, read_state_dict  # noqa: E402

BASES = {"pathfinder32": "pathfinder"}  # of configs/lra, where its name is not the task's


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_dict", metavar="STATE_DICT")
    parser.add_argument("--source", required=True, choices=["lotformer", "skyformer"], help="whose code trained it: the protocol")
    parser.add_argument("--task", required=True, choices=["listops", "text", "retrieval", "image", "pathfinder32"])
    parser.add_argument("--out", required=True, metavar="FOLDER", help="new, or empty")
    parser.add_argument("--attention", choices=["softmax"],
                        help="the module, where no parameter tells: softmax has none, and other modules of theirs have none either")
    parser.add_argument("--heads", type=int, default=2, help="attention heads of softmax (theirs: 2)")
    parser.add_argument("--layers", type=int, default=2, help="layers of a model with tied weights")
    parser.add_argument("--epsilon", type=float, help="lotformer: their sink_eps (theirs: 25 for image, else 0.1)")
    parser.add_argument("--half-iterations", type=int, help="lotformer: their max_iter (theirs: 5 for image, else 50)")
    parser.add_argument("--vocab", metavar="FILE",
                        help="listops: their tokens in the order of their ids, one a line (encoder.tokens); 'ours' when they are ours")
    return parser.parse_args()


def read_vocab(name):
    if name is None or name == "ours":
        return name
    return [line.strip() for line in pathlib.Path(name).read_text().splitlines() if line.strip()]


def yaml_of(section, indent=0):
    """A nested dict of plain values as YAML."""
    lines = []
    for key, value in section.items():
        if isinstance(value, dict):
            lines += [" " * indent + f"{key}:"] + yaml_of(value, indent + 2)
        else:
            lines.append(" " * indent + f"{key}: {json.dumps(value) if not isinstance(value, str) else value}")
    return lines


def write_checkpoint(folder, tensors, config, source):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty; name a new folder")
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    state = {"step": 0, "config": config, "imported_from": source}
    (folder / "state.json").write_text(json.dumps(state, indent=2) + "\n")
    task = config["task"]
    file = f"lra/skyformer/{task}.yaml" if config["protocol"] == "skyformer" else f"lra/{BASES.get(task, task)}.yaml"
    (folder / "config.yaml").write_text("\n".join(yaml_of({"base": file, **config})) + "\n")


def main():
    arguments = parse_arguments()
    tensors, config, notes = convert(read_state_dict(arguments.state_dict), arguments.source, arguments.task, read_vocab(arguments.vocab),
                                     attention=arguments.attention, heads=arguments.heads, tied_layers=arguments.layers,
                                     epsilon=arguments.epsilon, half_iterations=arguments.half_iterations)
    write_checkpoint(arguments.out, tensors, config, {"source": arguments.source, "file": pathlib.Path(arguments.state_dict).name})
    for note in notes:
        print(note)
    print(f"{arguments.out}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} numbers")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"import_published.py: error: {error}", file=sys.stderr)
        sys.exit(2)
