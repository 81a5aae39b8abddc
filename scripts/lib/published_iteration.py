# SPDX-License-Identifier: MIT
"""LOTFormer's published iteration in PyTorch, for the comparisons. Needs torch."""
import math

import torch


def transport_plan(scores, epsilon, half_iterations, tokens_first):
    """[B, H, N, r] of total mass 1 after T half-iterations in the log domain; uniform masses, padding counted as tokens."""
    tokens, pivots = scores.shape[-2:]
    logits = scores.clamp(-50, 50) / epsilon
    f, g = torch.zeros_like(logits[..., :1]), torch.zeros_like(logits[..., :1, :])
    for i in range(half_iterations):
        if (i % 2 == 0) == tokens_first:
            f = -math.log(tokens) - torch.logsumexp(logits + g, -1, keepdim=True)
        else:
            g = -math.log(pivots) - torch.logsumexp(logits + f, -2, keepdim=True)
    return (logits + f + g).exp()


def attention(q, k, v, pivots, epsilon, half_iterations):
    """q, k, v [B, H, N, D], pivots [H, r, D] -> [B, H, N, D]"""
    z = pivots.transpose(-1, -2) * q.shape[-1] ** -0.5
    queries = transport_plan(q @ z, epsilon, half_iterations, True)
    keys = transport_plan(k @ z, epsilon, half_iterations, False)
    return queries @ (keys.transpose(-1, -2) @ v) * q.shape[-2]
