# SPDX-License-Identifier: MIT
"""Safetensors files and checkpoint folders."""
import dataclasses
import json
import pathlib
import struct

import torch

from .defaults import completed

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
          "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
MOST_HEADER_BYTES = 100_000_000


@dataclasses.dataclass
class Checkpoint:
    """What model.safetensors and state.json of one checkpoint say."""
    path: pathlib.Path
    step: int
    config: dict
    state: dict
    tensors: dict


def read_safetensors(path):
    """{name: tensor} of a file: 8 bytes with the header's length, the header in JSON, raw little-endian numbers."""
    raw = pathlib.Path(path).read_bytes()
    if len(raw) < 8 or not 2 <= (size := struct.unpack("<Q", raw[:8])[0]) <= min(len(raw) - 8, MOST_HEADER_BYTES):
        raise ValueError(f"{path}: is no safetensors file (the length of its header does not fit)")
    try:
        header = json.loads(raw[8:8 + size])
    except ValueError as error:
        raise ValueError(f"{path}: its header is no JSON: {error}") from None
    data, tensors = bytearray(raw[8 + size:]), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = DTYPES[entry["dtype"]], torch.Size(entry["shape"]), entry["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: tensor {name!r} needs dtype (one of {', '.join(DTYPES)}), shape and data_offsets, "
                             f"has {entry}") from None
        count = shape.numel()
        if not 0 <= begin <= end <= len(data) or end - begin != count * dtype.itemsize:
            raise ValueError(f"{path}: tensor {name!r} of shape {list(shape)} does not fit its bytes {begin} to {end}")
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=begin) if count else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(shape).clone()
    return tensors


def write_safetensors(path, tensors, metadata=None):
    """Writes {name: tensor}; the numbers of larger elements come first, so that each tensor is aligned."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, chunks, place = ({"__metadata__": metadata} if metadata else {}), [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        tensor = tensor.detach().cpu().contiguous()
        chunk = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, place + len(chunk)]}
        chunks.append(chunk)
        place += len(chunk)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read_state(folder):
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON: {error}") from None
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict) or not isinstance(state.get("step"), int):
        raise ValueError(f"{path}: 'step' or 'config' is missing")
    return state


def find_folder(path, which):
    """The checkpoint folder that a path means, as lotformer-eval takes it."""
    if which not in ("", "best", "last"):
        raise ValueError(f"checkpoint {which!r}: best or last wanted")
    if (path / "model.safetensors").exists():
        if which:
            raise ValueError(f"{path}: is one checkpoint; best or last can be asked of a run folder only")
        return path
    steps = sorted(p for p in (path / "checkpoints").glob("step-*") if (p / "manifest.json").exists())
    if not steps:
        raise ValueError(f"{path}: is neither a run (no checkpoints/step-*) nor a checkpoint (no model.safetensors)")
    best = (read_state(steps[-1]).get("best") or {}).get("step")
    if which == "last" or (best is None and which == ""):
        return steps[-1]
    if best is None:
        raise ValueError(f"{path}: no evaluation has chosen a best checkpoint; ask for the last")
    return path / "checkpoints" / f"step-{best:08d}"


def read_checkpoint(path, which=""):
    """The best (else the last) checkpoint of a run folder, or the one whose folder is named. Digests are not checked."""
    folder = find_folder(pathlib.Path(path), which)
    state = read_state(folder)
    return Checkpoint(folder, state["step"], completed(state["config"]), state, read_safetensors(folder / "model.safetensors"))
