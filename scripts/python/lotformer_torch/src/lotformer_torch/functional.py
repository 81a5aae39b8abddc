# SPDX-License-Identifier: MIT
"""Attention through pivots as functions of tensors. Formulas: docs/lotformer.md."""
import math
from typing import NamedTuple, Optional

import torch
from torch import Tensor


class SolverReport(NamedTuple):
    """How the 2 B H transport problems of one call ended, queries first.

    residual [2, B, H]: |c - sigma|_1, what the pivot marginals missed before rounding; passes int [2, B, H]: sweeps over the tokens;
    converged bool [2, B, H]: residual <= tolerance. No gradient.
    """
    residual: Tensor
    passes: Tensor
    converged: Tensor


def _prepared(q, k, v):
    """q, k, v in the type that the device's core computes from: float64 stays, bf16 stays on CUDA, all else is float32."""
    if q.dtype in (torch.float32, torch.float64) or (q.is_cuda and q.dtype == torch.bfloat16):
        return q, k.to(q.dtype), v.to(q.dtype)
    return q.float(), k.float(), v.float()


def _transport_dtype(q):
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def lotformer_attention(q: Tensor, k: Tensor, v: Tensor, pivots: Tensor, masses: Optional[Tensor] = None, *,
                        lengths: Optional[Tensor] = None, epsilon: float = 0.1, tolerance: float = 1e-4, max_passes: int = 32,
                        kappa: Optional[Tensor] = None, query_masses: Optional[Tensor] = None, key_masses: Optional[Tensor] = None,
                        report: bool = False):
    """Attention by two entropic transport problems solved to a tolerance (mode `exact`); differentiable, once, by implicit differentiation.

    q, k, v     [B, H, N, D], last stride 1; float32, float64, bf16 or half, which is computed in float32 on a CPU
    pivots      [H, r, D]
    masses      sigma [H, r], rows sum to 1; None: 1 / r
    lengths     int64 [B]: tokens 0 to lengths[b] - 1 are real, the rest is padding and comes out as zeros; None: all are real
    epsilon     entropic regularisation, in the unit of the scores q . z / sqrt(D)
    tolerance   |c - sigma|_1 at which a problem stops; max_passes: sweeps over the tokens before rounding takes over
    kappa       [2, H] = epsilon / rho, queries first: 0 holds the pivot marginal, a finite number is the penalty rho KL, infinity no marginal
    query_masses, key_masses   [B, H, N] >= 0, 0 at padding, sums 1 over real tokens; None: uniform
    report      return (out, SolverReport) instead of out

    Returns [B, H, N, D] in the dtype of q. Each row of the map sums to 1, each column too with uniform masses and kappa None.
    ValueError or TypeError of torch where shapes or types disagree.
    """
    dtype = q.dtype
    q, k, v = _prepared(q, k, v)
    real = _transport_dtype(q)

    def own(x):
        return None if x is None else x.to(real)

    if masses is None:
        masses = torch.full(pivots.shape[:2], 1 / pivots.shape[1], dtype=real, device=pivots.device)
    out, _, residual, passes = torch.ops.lotformer.pivot_exact(
        q, k, v, pivots.to(real), masses.to(real), own(kappa), lengths, own(query_masses), own(key_masses), epsilon, tolerance, max_passes,
        False)
    out = out.to(dtype)
    return (out, SolverReport(residual, passes, residual <= tolerance)) if report else out


def truncated_attention(q: Tensor, k: Tensor, v: Tensor, pivots: Tensor, log_masses: Optional[Tensor] = None, *,
                        lengths: Optional[Tensor] = None, epsilon: float = 0.1, half_iterations: int = 50, reference: bool = False) -> Tensor:
    """T Sinkhorn half-iterations a side instead of a tolerance, differentiated one by one (modes `truncated` and `reference`).

    log_masses [H, r]: log sigma; None: -log r. reference: the published arithmetic, with scores clamped to +-50, padding counted as tokens,
    uniform masses (log_masses and lengths are not looked at) and rows of the map that sum to about r^(-2). The rest: see lotformer_attention.
    """
    dtype = q.dtype
    q, k, v = _prepared(q, k, v)
    real = _transport_dtype(q)
    if log_masses is None or reference:
        log_masses = torch.full(pivots.shape[:2], -math.log(pivots.shape[1]), dtype=real, device=pivots.device)
    out, _ = torch.ops.lotformer.pivot_truncated(q, k, v, pivots.to(real), log_masses.to(real), None if reference else lengths, epsilon,
                                                 half_iterations, reference)
    return out.to(dtype)
