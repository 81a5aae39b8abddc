# SPDX-License-Identifier: MIT
"""LOTFormer attention for PyTorch, by the compiled operators of the lotformer framework.

    from lotformer_torch import LOTFormerAttention, lotformer_attention
    layer = LOTFormerAttention(dim=64, heads=2, pivots=32)
    y = layer(x, lengths)                          # x [B, N, 64], lengths int64 [B] or None
    out = lotformer_attention(q, k, v, pivots)     # q, k, v [B, H, N, D], pivots [H, r, D]

torch.ops.lotformer holds the operators themselves. Documentation: docs/library.md of the repository.
"""
from .library import LIBRARY, load
from .functional import SolverReport, lotformer_attention, truncated_attention
from .module import LOTFormerAttention, PivotAttention
from .weights import layer_from_checkpoint, layer_state

load()
__all__ = ["LIBRARY", "LOTFormerAttention", "PivotAttention", "SolverReport", "layer_from_checkpoint", "layer_state",
           "lotformer_attention", "truncated_attention"]
