# SPDX-License-Identifier: MIT
"""Encoder, pooling and head. Names of parameters and formulas: docs/model.md."""
import torch
from torch import nn
from torch.nn import functional as F

from .attention import build_attention
from .defaults import completed

CLASS_TOKEN = -1  # in the place of an id


class Layer(nn.Module):
    def __init__(self, dim, inner, ff_dim, heads, attention):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-5), nn.LayerNorm(dim, eps=1e-5)
        self.qkv, self.out = nn.Linear(dim, 3 * inner), nn.Linear(inner, dim)
        self.ff1, self.ff2 = nn.Linear(dim, ff_dim), nn.Linear(ff_dim, dim)
        self.attention = attention

    def forward(self, x, mask):
        """x [B, N, C], mask bool [B, N], True where a token is real."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        joined = self.attention(qkv[0], qkv[1], qkv[2], mask).transpose(1, 2).reshape(batch, tokens, -1)
        x = x + self.out(joined)
        return x + self.ff2(F.gelu(self.ff1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self, config, shape, attentions):
        super().__init__()
        m, data = config["model"], config["data"]
        self.real_input, self.mean, self.std = data["input"] == "real", data["input_mean"], data["input_std"]
        dim, inner = m["dim"], m["heads"] * m["head_dim"]
        rows = shape("encoder.position.weight")[0]
        if self.real_input:
            self.value = nn.Linear(1, dim)
        else:
            self.token = nn.Embedding(shape("encoder.token.weight")[0], dim)
        self.position = nn.Embedding(rows, dim)
        self.end_position = nn.Embedding(rows, dim) if m["end_positions"] else None
        self.class_token = nn.Parameter(torch.empty(dim)) if m["pooling"] == "cls" else None
        self.layers = m["layers"]
        for i in range(m["layers"]):
            self.add_module(f"layer{i}", Layer(dim, inner, m["ff_dim"], m["heads"], attentions[i]))
        self.norm = nn.LayerNorm(dim, eps=1e-5)

    def embed(self, ids):
        if not self.real_input:
            return self.token(ids.clamp_min(0))
        grey = ids.to(self.value.weight.dtype) / 255
        return ((grey - self.mean) / self.std).unsqueeze(-1) * self.value.weight[:, 0] + self.value.bias

    def forward(self, ids, lengths, positions=None):
        """ids int64 [B, N], lengths int64 [B], positions int64 [B, N] or None for 0 to N - 1: (x [B, N, C], mask [B, N])."""
        if self.class_token is not None:
            ids, lengths = F.pad(ids, (1, 0), value=CLASS_TOKEN), lengths + 1
            positions = positions if positions is None else F.pad(positions + 1, (1, 0))
        places = torch.arange(ids.shape[1], device=ids.device)
        mask = places < lengths.unsqueeze(1)
        x = self.embed(ids)
        if self.class_token is not None:
            x = torch.where((ids == CLASS_TOKEN).unsqueeze(-1), self.class_token, x)
        x = x + self.position(places if positions is None else positions)
        if self.end_position is not None:
            x = x + self.end_position((lengths.unsqueeze(1) - 1 - places).clamp_min(0))
        for i in range(self.layers):
            x = getattr(self, f"layer{i}")(x, mask)
        return self.norm(x), mask


class Pool(nn.Module):
    def __init__(self, kind, dim):
        super().__init__()
        self.kind = kind
        if kind == "attention":
            self.query = nn.Parameter(torch.empty(dim))

    def forward(self, x, mask):
        if self.kind == "cls":
            return x[:, 0]
        real = x.masked_fill(~mask.unsqueeze(-1), 0)
        if self.kind == "attention":
            weights = torch.softmax((x @ self.query).masked_fill(~mask, -torch.inf), -1)
            return (weights.unsqueeze(1) @ real).squeeze(1)
        counted = torch.ones_like(mask) if self.kind == "padded_mean" else mask
        return real.sum(1) / counted.sum(1, keepdim=True).to(x.dtype)


class Classifier(nn.Module):
    """forward(ids int64 [S, B, N], lengths int64 [S, B], positions int64 [S, B, N] or None): logits [B, classes]."""

    def __init__(self, config, shape, attentions):
        super().__init__()
        m = config["model"]
        self.encoder = Encoder(config, shape, attentions)
        self.pool = Pool(m["pooling"], m["dim"])
        self.sequences = 2 if shape("head1.weight")[1] == 4 * m["dim"] else 1
        self.head1, self.head2 = nn.Linear(shape("head1.weight")[1], m["ff_dim"]), nn.Linear(m["ff_dim"], shape("head2.weight")[0])

    def forward(self, ids, lengths, positions=None):
        positions = positions if positions is None else positions.flatten(0, 1)
        features = self.pool(*self.encoder(ids.flatten(0, 1), lengths.flatten(), positions))
        if self.sequences == 2:
            a, b = features.chunk(2)
            features = torch.cat([a, b, a * b, a - b], 1)
        return self.head2(torch.relu(self.head1(features)))


def build(config, tensors, dtype=None):
    """The classifier of a recorded configuration with its weights, in evaluation mode; float64 unless dtype is given.

    ValueError where names or shapes of the tensors are not those of the configuration.
    """
    def shape(name):
        if name not in tensors:
            raise ValueError(f"model.safetensors: {name!r} is missing")
        return tensors[name].shape

    def own(prefix):
        return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}

    config = completed(config)
    attentions = [build_attention(config["model"]["attention"], own(f"encoder.layer{i}.attention."))
                  for i in range(config["model"]["layers"])]
    model = Classifier(config, shape, attentions)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(f"model.safetensors: {error}") from None
    return model.to(dtype or torch.float64).eval().requires_grad_(False)
