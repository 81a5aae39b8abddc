# SPDX-License-Identifier: MIT
"""The model in plain PyTorch, for inference from our checkpoints (docs/interchange.md).

    from lotformer_torch_model import load
    model, checkpoint = load("runs/my-run")          # float64; .config, .step, .path
    logits = model(ids, lengths)                     # ids int64 [S, B, N], lengths int64 [S, B]
"""
from .files import Checkpoint, read_checkpoint, read_safetensors, write_safetensors
from .model import Classifier, build

__all__ = ["Checkpoint", "Classifier", "build", "load", "read_checkpoint", "read_safetensors", "write_safetensors"]


def load(path, which="", dtype=None):
    """(model in evaluation mode, checkpoint) of a run folder or of a checkpoint folder.

    which: "best", "last" or "" (the best, else the last), of a run folder. dtype: torch.float64 unless given.
    ValueError or OSError names the file and what is wrong with it.
    """
    checkpoint = read_checkpoint(path, which)
    return build(checkpoint.config, checkpoint.tensors, dtype), checkpoint
