# SPDX-License-Identifier: MIT
"""State dicts of the published LOTFormer code and of Skyformer's, which have the same names, as tensors of ours.

Sources of the names: LRA/model.py, model_wrapper.py, attention.py, linear_sinkformer.py of the first, src/models of the second.
"""
import pickle
import re

import torch

from .data import LISTOPS
from .files import read_safetensors

IDS = {"listops": 16, "text": 257, "retrieval": 257, "image": 256, "pathfinder32": 256}  # rows that our model looks up
LONGEST = {"listops": 2000, "text": 4000, "retrieval": 4000, "image": 0, "pathfinder32": 0}  # data.max_length
WITHIN_LAYER = {"norm1": "norm1", "norm2": "norm2", "mha.ff": "out", "mlpblock.0": "ff1", "mlpblock.3": "ff2"}
OUTSIDE = {"model.norm": "encoder.norm", "seq_classifer.mlpblock.0": "head1", "seq_classifer.mlpblock.2": "head2"}
OWN_OF_ATTENTION = {"mha.attn.core.ref": "lotformer", "mha.attn.attn_fn.projection_matrix": "performer"}


def read_state_dict(path):
    """{name: tensor} of a file of torch.save or of a .safetensors file."""
    if str(path).endswith(".safetensors"):
        return read_safetensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: torch.load cannot read it as tensors alone: {str(error).splitlines()[0]}") from None
    found = found.get("model_state_dict", found) if isinstance(found, dict) else None
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{path}: holds no state dict (names with tensors, or 'model_state_dict' with them)")
    return {name.removeprefix("module."): value for name, value in found.items()}


class Taken:
    """Hands out tensors by name and remembers which are left."""

    def __init__(self, tensors, dtype):
        self.left, self.dtype = dict(tensors), dtype

    def __call__(self, name):
        if name not in self.left:
            raise ValueError(f"the state dict has no {name!r}; has it another source, or another kind of attention?")
        return self.left.pop(name).to(self.dtype)


def token_rows(weight, task, vocab):
    """Their word embeddings in the order of our ids."""
    count = IDS[task]
    if weight.shape[0] < count and not (task == "listops" and vocab != "ours"):
        raise ValueError(f"word_embeddings has {weight.shape[0]} rows, {task} needs {count}")
    if task != "listops" or vocab == "ours":
        return weight[:count]
    if vocab is None:
        raise ValueError("listops: their ids are in the order of a Python set of strings, which differs from process to process and is not "
                         "in the state dict; give it with --vocab (encoder.tokens of their preprocessing, one a line)")
    ours = [token.removeprefix("[") for token in LISTOPS if token not in ("<pad>", "]")]
    theirs = [token.removeprefix("[") for token in vocab]
    if sorted(theirs) != sorted(ours):
        raise ValueError(f"--vocab: has {' '.join(theirs)}; wanted are {' '.join(ours)}, each once")
    rows = [0] + [1 + theirs.index(token) for token in ours] + [len(theirs) + 1]  # id 0 pads, the last is for unknown tokens
    if max(rows) >= weight.shape[0]:
        raise ValueError(f"word_embeddings has {weight.shape[0]} rows, their ids go to {max(rows)}")
    return weight[rows]


def attention_kind(names, attention):
    found = {kind for own, kind in OWN_OF_ATTENTION.items() if any(name.endswith(own) for name in names)}
    if len(found) == 1:
        return found.pop()
    if attention is None:
        raise ValueError("no parameter tells the kind of attention: LOTFormer has mha.attn.core.ref, Performer "
                         "mha.attn.attn_fn.projection_matrix; softmax has none, say --attention softmax (kernelized and skyformer have none "
                         "either, and no counterpart here)")
    return attention


def take_layer(take, theirs, ours, kind, tensors):
    for own, name in WITHIN_LAYER.items():
        for part in ("weight", "bias"):
            tensors[f"{ours}.{name}.{part}"] = take(f"{theirs}.{own}.{part}")
    for part in ("weight", "bias"):
        tensors[f"{ours}.qkv.{part}"] = torch.cat([take(f"{theirs}.mha.W_{x}.{part}") for x in "qkv"])
    if kind == "lotformer":
        tensors[f"{ours}.attention.pivots"] = take(f"{theirs}.mha.attn.core.ref")
    if kind == "performer":
        tensors[f"{ours}.attention.projection"] = take(f"{theirs}.mha.attn.attn_fn.projection_matrix")
        tensors[f"{ours}.attention.calls"] = torch.zeros((), dtype=torch.int64)


def attention_options(kind, task, tensors, epsilon, half_iterations):
    options = {"kind": kind, "mode": "reference"}
    first = "encoder.layer0.attention."
    if kind == "lotformer":
        image = task == "image"
        options.update(pivots=tensors[first + "pivots"].shape[1], epsilon=epsilon or (25.0 if image else 0.1),
                       half_iterations=half_iterations or (5 if image else 50))
    elif epsilon or half_iterations:
        raise ValueError(f"--epsilon and --half-iterations belong to lotformer, this is {kind}")
    if kind == "performer":
        options.update(features=tensors[first + "projection"].shape[0])
    return options


def convert(theirs, source, task, vocab, attention=None, heads=2, tied_layers=2, epsilon=None, half_iterations=None, dtype=torch.float32):
    """(tensors of ours, configuration, notes) of a state dict. ValueError says what does not map.

    dtype: of the result; checkpoints have float32.
    """
    take, tensors = Taken(theirs, dtype), {}
    kind = attention_kind(theirs, attention)
    tied = any(name.startswith("model.transformer.") for name in theirs)
    layers = tied_layers if tied else len({m[1] for name in theirs if (m := re.match(r"model\.transformer_(\d+)\.", name))})
    words = take("model.embeddings.word_embeddings.weight")
    tensors["encoder.token.weight"] = token_rows(words, task, vocab)
    tensors["encoder.position.weight"] = take("model.embeddings.position_embeddings.weight")
    for i in range(layers):
        if tied:
            take.left.update({name: value for name, value in theirs.items() if name.startswith("model.transformer.")})
        take_layer(take, "model.transformer" if tied else f"model.transformer_{i}", f"encoder.layer{i}", kind, tensors)
    for own, name in OUTSIDE.items():
        for part in ("weight", "bias"):
            tensors[f"{name}.{part}"] = take(f"{own}.{part}")
    if take.left:
        raise ValueError(f"no counterpart here for {', '.join(sorted(take.left))}")
    notes = []
    if words.shape[0] > len(tensors["encoder.token.weight"]):
        notes.append(f"left out: {words.shape[0] - len(tensors['encoder.token.weight'])} word embeddings that no id of {task} looks up")
    if tied:
        notes.append(f"tied weights: each of the {layers} layers has its own copy, which training would move apart")
    return tensors, configuration(tensors, source, task, layers, kind, heads, epsilon, half_iterations), notes


def configuration(tensors, source, task, layers, kind, heads, epsilon, half_iterations):
    options = attention_options(kind, task, tensors, epsilon, half_iterations)
    inner, dim = tensors["encoder.layer0.qkv.weight"].shape[0] // 3, tensors["encoder.token.weight"].shape[1]
    if kind == "lotformer":
        heads = tensors["encoder.layer0.attention.pivots"].shape[0]
    elif kind == "performer":
        heads = inner // tensors["encoder.layer0.attention.projection"].shape[1]
    if inner % heads:
        raise ValueError(f"--heads {heads} does not divide the {inner} rows of W_q")
    if tensors["head1.weight"].shape[1] != dim * (4 if task == "retrieval" else 1):
        raise ValueError(f"the head takes {tensors['head1.weight'].shape[1]} features, {task} has {dim * (4 if task == 'retrieval' else 1)}")
    width = tensors["encoder.position.weight"].shape[0]  # they pad every sequence to their table of positions
    data = {"pad_to": width, "mask_zero_pixels": task in ("image", "pathfinder32")}
    if LONGEST[task]:
        data["max_length"] = min(width, LONGEST[task])
    if task == "listops":
        data["tokenizer"] = "alnum"
    if not data["mask_zero_pixels"]:
        del data["mask_zero_pixels"]
    model = {"layers": layers, "dim": dim, "heads": heads, "head_dim": inner // heads, "ff_dim": tensors["head1.weight"].shape[0],
             "pooling": "padded_mean", "attention": options}
    return {"task": task, "protocol": source, "data": data, "model": model, "eval": {"drop_last": True}}
