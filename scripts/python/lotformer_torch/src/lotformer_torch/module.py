# SPDX-License-Identifier: MIT
"""Multi-head LOTFormer attention as torch.nn.Modules with the parameter names of the framework's checkpoints."""
import math
from typing import Optional

import torch
from torch import Tensor, nn

from .functional import lotformer_attention, truncated_attention

LARGEST_LOG_KAPPA = 20  # learned penalties stay between "exactly" and "not at all"
CHOICES = {"mode": ("exact", "truncated", "reference"), "masses": ("learned", "uniform"), "marginals": ("both", "query", "key", "none"),
           "qk_norm": ("none", "l2"), "pivot_init": ("0.02", "unit_score"), "free_keys": ("tokens", "pivots")}


def of_sides(value, parse):
    """The values of both sides of QUERY/KEY, or of one word for both."""
    query, _, key = str(value).partition("/")
    return parse(query), parse(key or query)


class PivotAttention(nn.Module):
    """The attention alone: q, k, v [B, H, N, D] and lengths to [B, H, N, D].

    Options are those of `model.attention` in the framework (docs/config.md) with the same defaults, except that masses are learned.

    Parameters, float32 at the start:
      pivots [H, r, D]            normal, standard deviation 0.02 as published; pivot_init="unit_score": epsilon sqrt(3), with which default
                                  linear layers give scores of standard deviation epsilon
      pivot_logits [H, r]         zeros; sigma = softmax over r. Only masses="learned" in modes exact and truncated
      query_mass_vector, key_mass_vector [H, D]
                                  normal, standard deviation token_mass_spread epsilon sqrt(3); where token_masses says learned for the side
      log_relaxation [S, H]       log rho of the S sides that are held; only relaxation_learned
    """

    def __init__(self, heads: int, head_dim: int, pivots: int, *, mode: str = "exact", epsilon: float = 0.1, tolerance: float = 1e-4,
                 eval_tolerance: float = 1e-6, max_passes: int = 32, half_iterations: int = 50, masses: str = "learned",
                 pivot_init: str = "0.02", token_masses: str = "uniform", token_mass_spread: float = 0.0, marginals: str = "both",
                 relaxation="inf", relaxation_learned: bool = False, free_keys: str = "tokens", qk_norm: str = "none"):
        super().__init__()
        given = {"mode": mode, "masses": masses, "marginals": marginals, "qk_norm": qk_norm, "pivot_init": str(pivot_init),
                 "free_keys": free_keys}
        for name, value in given.items():
            if value not in CHOICES[name]:
                raise ValueError(f"{name}={value!r}: one of {', '.join(CHOICES[name])} wanted")
        if min(heads, head_dim, pivots, max_passes, half_iterations) < 1 or not epsilon > 0:
            raise ValueError("heads, head_dim, pivots, max_passes and half_iterations must be at least 1, epsilon above 0")
        self.holds = (marginals in ("both", "query"), marginals in ("both", "key"))
        self.rho = of_sides(relaxation, float)
        weighted = of_sides(token_masses, str)
        if mode != "exact" and (marginals != "both" or set(self.rho) != {math.inf} or relaxation_learned or set(weighted) != {"uniform"}):
            raise ValueError(f"mode {mode} holds both marginals and has uniform token masses; use exact")
        if not self.holds[1] and free_keys == "tokens":
            raise ValueError("marginals without the key side: the compiled operator computes free_keys='pivots' alone")
        if not set(weighted) <= {"uniform", "learned"} or not all(rho > 0 for rho in self.rho):
            raise ValueError("token_masses: uniform or learned, or QUERY/KEY; relaxation: a positive number, or QUERY/KEY")
        if relaxation_learned and not all(math.isfinite(rho) for rho, held in zip(self.rho, self.holds) if held):
            raise ValueError("relaxation_learned starts from a finite relaxation of each side that is held")
        self.mode, self.epsilon, self.tolerance, self.eval_tolerance = mode, epsilon, tolerance, eval_tolerance
        self.max_passes, self.half_iterations, self.qk_norm = max_passes, half_iterations, qk_norm
        unit_score = epsilon * math.sqrt(3)
        self.pivots = nn.Parameter(torch.randn(heads, pivots, head_dim) * (unit_score if pivot_init == "unit_score" else 0.02))
        learned = masses == "learned" and mode != "reference"
        self.pivot_logits = nn.Parameter(torch.zeros(heads, pivots)) if learned else None
        for side, word in zip(("query", "key"), weighted):
            vector = nn.Parameter(torch.randn(heads, head_dim) * (token_mass_spread * unit_score)) if word == "learned" else None
            self.register_parameter(f"{side}_mass_vector", vector)
        start = [math.log(rho) for rho, held in zip(self.rho, self.holds) if held] if relaxation_learned else None
        self.log_relaxation = nn.Parameter(torch.tensor(start).unsqueeze(-1).repeat(1, heads)) if start else None

    def extra_repr(self):
        heads, pivots, head_dim = self.pivots.shape
        return f"heads={heads}, head_dim={head_dim}, pivots={pivots}, mode={self.mode}, epsilon={self.epsilon}"

    @staticmethod
    def _unit(x):
        return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()

    def _scored(self, q, k, z, lengths):
        """q, k and pivots; with qk_norm l2 scores are cosines."""
        if self.qk_norm == "none":
            return q, k, z
        length = math.sqrt(q.shape[-1])
        if lengths is not None:  # before the norm, so that padding is nowhere in its gradient
            padding = (torch.arange(q.shape[2], device=q.device) >= lengths.unsqueeze(1))[:, None, :, None]
            q, k = q.masked_fill(padding, 0), k.masked_fill(padding, 0)
        return self._unit(q) * length, self._unit(k) * length, self._unit(z)

    def _kappa(self, dtype):
        """[2, H], or None where both marginals are held exactly."""
        if all(self.holds) and self.log_relaxation is None and self.rho == (math.inf, math.inf):
            return None
        heads, rows = self.pivots.shape[0], []
        for side in (0, 1):
            if self.holds[side] and self.log_relaxation is not None:
                log_rho = self.log_relaxation[1 if side and self.holds[0] else 0].to(dtype)
                rows.append((math.log(self.epsilon) - log_rho).clamp(-LARGEST_LOG_KAPPA, LARGEST_LOG_KAPPA).exp())
            else:
                value = self.epsilon / self.rho[side] if self.holds[side] else math.inf
                rows.append(torch.full((heads,), value, dtype=dtype, device=self.pivots.device))
        return torch.stack(rows)

    def _token_masses(self, x, vector, lengths):
        if vector is None:
            return None
        logits = (x @ vector.to(x.dtype).unsqueeze(-1)).squeeze(-1) / (self.epsilon * math.sqrt(x.shape[-1]))
        if lengths is not None:
            padding = torch.arange(x.shape[2], device=x.device) >= lengths.clamp_min(1).unsqueeze(1)
            logits = logits.masked_fill(padding.unsqueeze(1), -math.inf)
        return torch.softmax(logits, -1)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, lengths: Optional[Tensor] = None, report: bool = False):
        """q, k, v [B, H, N, D]; lengths int64 [B] or None. report (mode exact): (out, SolverReport).

        The tolerance is `tolerance` in training and `eval_tolerance` in evaluation. Under autocast the result is the one without it.
        """
        with torch.autocast(q.device.type, enabled=False):
            return self._attend(q, k, v, lengths, report)

    def _attend(self, q, k, v, lengths, report):
        dtype = q.dtype
        real = torch.float64 if dtype == torch.float64 else torch.float32
        if self.qk_norm != "none" or not (q.is_cuda and dtype == torch.bfloat16):
            q, k, v = q.to(real), k.to(real), v.to(real)
        q, k, z = self._scored(q, k, self.pivots.to(real), lengths)
        logits = torch.zeros_like(z[..., 0]) if self.pivot_logits is None else self.pivot_logits.to(real)
        if self.mode != "exact":
            out = truncated_attention(q, k, v, z, torch.log_softmax(logits, -1), lengths=lengths, epsilon=self.epsilon,
                                      half_iterations=self.half_iterations, reference=self.mode == "reference")
            return out.to(dtype)
        result = lotformer_attention(q, k, v, z, torch.softmax(logits, -1), lengths=lengths, epsilon=self.epsilon,
                                     tolerance=self.tolerance if self.training else self.eval_tolerance, max_passes=self.max_passes,
                                     kappa=self._kappa(real), query_masses=self._token_masses(q.to(real), self.query_mass_vector, lengths),
                                     key_masses=self._token_masses(k.to(real), self.key_mass_vector, lengths), report=report)
        return (result[0].to(dtype), result[1]) if report else result.to(dtype)


class LOTFormerAttention(nn.Module):
    """Self-attention [B, N, dim] to [B, N, dim]: packed projection to q, k, v, PivotAttention, output projection.

    As in the framework's encoder layer, without its norm, dropout and residual. head_dim 0: dim / heads. The other options: PivotAttention.
    State dict: qkv.weight [3 H D, dim] (rows of q, then k, then v), qkv.bias, attention.*, out.weight [dim, H D], out.bias: the names of
    `encoder.layer<i>.` in model.safetensors. Linear layers start as torch starts them.
    """

    def __init__(self, dim: int, heads: int, pivots: int = 32, *, head_dim: int = 0, bias: bool = True, **options):
        super().__init__()
        if not head_dim and dim % heads:
            raise ValueError(f"dim {dim} is no multiple of {heads} heads; give head_dim")
        self.heads, self.head_dim = heads, head_dim or dim // heads
        self.qkv = nn.Linear(dim, 3 * heads * self.head_dim, bias=bias)
        self.attention = PivotAttention(heads, self.head_dim, pivots, **options)
        self.out = nn.Linear(heads * self.head_dim, dim, bias=bias)

    def forward(self, x: Tensor, lengths: Optional[Tensor] = None) -> Tensor:
        """x [B, N, dim]; lengths int64 [B] or None. Rows of padding hold `out.bias` (mode reference: rows like any other)."""
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        attended = self.attention(q, k, v, lengths)
        return self.out(attended.transpose(1, 2).reshape(batch, tokens, self.heads * self.head_dim))
