# SPDX-License-Identifier: MIT
"""Attention modules by name, and the simple ones: softmax, performer, linear, causal_pivot, mean, none.

forward(q, k, v [B, H, N, D], mask bool [B, N]): [B, H, N, D]. Every sequence has a real token.
"""
import math

import torch
from torch import nn


def select_real(x, mask):
    """x [B, H, N, D] with zeros at padding."""
    return x.masked_fill(~mask[:, None, :, None], 0)


class Attention(nn.Module):
    """options: model.attention of the configuration; state: the module's own tensors by their names in a checkpoint."""

    def __init__(self, options, state):
        super().__init__()
        self.options = options
        for name, value in state.items():
            self.register_buffer(name, value.clone())


class Softmax(Attention):
    def forward(self, q, k, v, mask):
        scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~mask[:, None, None, :], -torch.inf)
        out = torch.softmax(scores, -1) @ select_real(v, mask)
        return out if self.options["mode"] == "reference" else select_real(out, mask)


class Linear(Attention):
    def forward(self, q, k, v, mask):
        features = [nn.functional.elu(x) + (1 + self.options["floor"]) for x in (q, k)]
        keys = select_real(features[1], mask)
        out = features[0] @ (keys.transpose(-2, -1) @ select_real(v, mask))
        return select_real(out / (features[0] @ keys.sum(-2).unsqueeze(-1)), mask)


class CausalPivot(Attention):
    """By its definition, one N x N map a pivot."""

    def forward(self, q, k, v, mask):
        scores = [select_real(x, mask) @ self.pivots.transpose(1, 2) / (math.sqrt(q.shape[-1]) * self.options["epsilon"]) for x in (q, k)]
        of_pivots = torch.softmax(scores[0] + torch.log_softmax(self.pivot_logits, -1)[:, None], -1)
        later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
        out = 0
        for pivot in range(of_pivots.shape[-1]):
            of_tokens = torch.softmax(scores[1][..., None, :, pivot].masked_fill(later, -torch.inf), -1)
            out = out + of_pivots[..., pivot, None] * (of_tokens @ select_real(v, mask))
        return select_real(out, mask)


class Mean(Attention):
    def forward(self, q, k, v, mask):
        mean = select_real(v, mask).sum(2, keepdim=True) / mask.sum(1).to(v.dtype)[:, None, None, None]
        return select_real(mean.expand(v.shape), mask)


class NoAttention(Attention):
    def forward(self, q, k, v, mask):
        return torch.zeros_like(q)


class Performer(Attention):
    def forward(self, q, k, v, mask):
        if self.options["mode"] == "reference":  # scales q and k once more and leaves padded keys, as zeros, in the sums
            scale = q.shape[-1] ** -0.25
            q, k, v = q * scale, select_real(k, mask) * scale, select_real(v, mask)
            return self.published(q, k, v, torch.ones_like(mask))
        if self.options["mode"] == "favor":
            return select_real(self.published(q, k, v, mask), mask)
        return select_real(self.relu(q, k, v, mask) if self.options["kernel"] == "relu" else self.masked(q, k, v, mask), mask)

    def projected(self, x):
        """x / D^(1/4) and its products with the random directions."""
        x = x * x.shape[-1] ** -0.25
        return x, x @ self.projection.T

    @staticmethod
    def normalised(phi_q, phi_k, v):
        return phi_q @ (phi_k.transpose(-2, -1) @ v) / (phi_q @ phi_k.sum(-2).unsqueeze(-1))

    def masked(self, q, k, v, mask):
        keys, h_k = self.projected(k)
        g = (h_k - keys.square().sum(-1, keepdim=True) / 2).masked_fill(~mask[:, None, :, None], -torch.inf)
        summary = torch.softmax(g, -2).transpose(-2, -1) @ select_real(v, mask)
        return torch.softmax(self.projected(q)[1] + torch.logsumexp(g, -2, keepdim=True), -1) @ summary

    def published(self, q, k, v, mask):
        """With the constant 1e-4, and one stabiliser for the keys of the whole batch."""
        (queries, h_q), (keys, h_k) = self.projected(select_real(q, mask)), self.projected(select_real(k, mask))
        largest = h_k.masked_fill(~mask[:, None, :, None], torch.finfo(h_k.dtype).min).amax()
        scale = self.projection.shape[0] ** -0.5
        phi_q = scale * ((h_q - queries.square().sum(-1, keepdim=True) / 2 - h_q.amax(-1, keepdim=True)).exp() + 1e-4)
        phi_k = scale * ((h_k - keys.square().sum(-1, keepdim=True) / 2 - largest).exp() + 1e-4)
        return self.normalised(phi_q, select_real(phi_k, mask), select_real(v, mask))

    def relu(self, q, k, v, mask):
        phi_q, phi_k = (torch.relu(self.projected(x)[1]) + 1e-3 for x in (q, k))
        return self.normalised(phi_q, select_real(phi_k, mask), select_real(v, mask))


def build_attention(options, state):
    """The module that `options` (model.attention with all its keys) describe."""
    from .espformer import Espformer
    from .lotformer import Lotformer
    from .sinkformer import Sinkformer
    kinds = {"softmax": Softmax, "performer": Performer, "sinkformer": Sinkformer, "espformer": Espformer, "lotformer": Lotformer,
             "linear": Linear, "causal_pivot": CausalPivot, "mean": Mean, "none": NoAttention}
    return kinds[options["kind"]](options, state)
