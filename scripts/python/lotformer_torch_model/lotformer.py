# SPDX-License-Identifier: MIT
"""Attention through pivots in its three modes (docs/lotformer.md)."""
import math

import torch

from .attention import Attention, select_real
from .pivot_solver import probabilities, rounding, solve

LARGEST_LOG_KAPPA = 20


def of_sides(text, parse):
    """The values of both sides of QUERY/KEY, or of one word for both."""
    query, _, key = str(text).partition("/")
    return parse(query), parse(key or query)


class Lotformer(Attention):
    def __init__(self, options, state):
        super().__init__(options, state)
        self.holds = (options["marginals"] in ("both", "query"), options["marginals"] in ("both", "key"))
        self.unconverged = 0  # problems of all calls that the solver left above its tolerance

    def forward(self, q, k, v, mask):
        z = self.pivots
        if self.options["qk_norm"] == "l2":
            length = math.sqrt(q.shape[-1])
            q, k = self.unit(select_real(q, mask)) * length, self.unit(select_real(k, mask)) * length
            z = self.unit(z)
        if self.options["mode"] == "reference":
            return self.reference(q, k, v, z, mask)
        sides = [self.logits(x, z) for x in (q, k)]
        run = self.exact if self.options["mode"] == "exact" else self.truncated
        return select_real(run(q, k, sides, select_real(v, mask), mask), mask)

    @staticmethod
    def unit(x):
        return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()

    def logits(self, x, z):
        """[B, H, r, N]"""
        return z @ x.transpose(-2, -1) / (math.sqrt(x.shape[-1]) * self.options["epsilon"])

    def log_masses(self, like):
        logits = getattr(self, "pivot_logits", torch.zeros_like(self.pivots[..., 0]))
        return torch.log_softmax(logits.to(like.dtype), -1)[None, :, :, None]  # [1, H, r, 1]

    def half_iterations(self, logits, log_tokens, log_pivots, mask, tokens_first):
        """The plan [B, H, r, N] after T half-iterations; mask None: padding takes part."""
        def without_padding(potential):
            return potential if mask is None else potential.masked_fill(~mask[:, None, None, :], -torch.inf)
        token, pivot = without_padding(torch.zeros_like(logits[:, :, :1])), torch.zeros_like(logits[..., :1])
        for i in range(self.options["half_iterations"]):
            if (i % 2 == 0) == tokens_first:
                token = without_padding(log_tokens - torch.logsumexp(logits + pivot, 2, keepdim=True))
            else:
                pivot = log_pivots - torch.logsumexp(logits + token, 3, keepdim=True)
        return (logits + token + pivot).exp()

    def truncated(self, q, k, sides, v, mask):
        count, masses = mask.sum(1).to(v.dtype)[:, None, None, None], self.log_masses(v)
        query = self.half_iterations(sides[0], -count.log(), masses, mask, tokens_first=True)
        key = self.half_iterations(sides[1], -count.log(), masses, mask, tokens_first=False)
        return query.transpose(-2, -1) @ (key @ v / masses.exp().clamp_min(1e-37)) * count

    def reference(self, q, k, v, z, mask):
        tokens, pivots = torch.ones_like(mask).sum(1).to(v.dtype)[:, None, None, None], z.shape[1]  # a tensor: it stays open in ONNX
        log_tokens, log_pivots = -tokens.log(), -math.log(pivots)
        clamped = [(z @ x.transpose(-2, -1) / math.sqrt(x.shape[-1])).clamp(-50, 50) / self.options["epsilon"] for x in (q, k)]
        query = self.half_iterations(clamped[0], log_tokens, log_pivots, None, tokens_first=True)
        key = self.half_iterations(clamped[1], log_tokens, log_pivots, None, tokens_first=False)
        return query.transpose(-2, -1) @ (key @ v) * (tokens / pivots)

    def kappa(self, side):
        """epsilon / rho of each head: 0 where the marginal is held exactly, infinity where it is not held."""
        heads, like = self.pivots.shape[0], self.pivots
        if not self.holds[side]:
            return torch.full((heads,), torch.inf, dtype=torch.float64, device=like.device)
        if hasattr(self, "log_relaxation"):
            row = self.log_relaxation[1 if side == 1 and self.holds[0] else 0].double()
            return (math.log(self.options["epsilon"]) - row).clamp(-LARGEST_LOG_KAPPA, LARGEST_LOG_KAPPA).exp()
        rho = of_sides(self.options["relaxation"], float)[side]
        return torch.full((heads,), self.options["epsilon"] / rho, dtype=torch.float64, device=like.device)

    def token_masses(self, x, side, mask):
        """[B, H, 1, N], sums 1."""
        vector = getattr(self, ("query", "key")[side] + "_mass_vector", None)
        if vector is None:
            real = mask.to(x.dtype)
            return (real / real.sum(1, keepdim=True))[:, None, None, :].expand(-1, x.shape[1], -1, -1)
        scores = (x @ vector.to(x.dtype).unsqueeze(-1)).transpose(-2, -1) / (self.options["epsilon"] * math.sqrt(x.shape[-1]))
        return torch.softmax(scores.masked_fill(~mask[:, None, None, :], -torch.inf), -1)

    def side(self, logits, x, side, mask):
        """(p [B, H, r, N], its token masses, c [B, H, r], R [B, H, r, r]) of one side, in float64."""
        sigma = self.log_masses(logits.double()).exp().squeeze(-1).expand(logits.shape[0], -1, -1)
        kappa = self.kappa(side).expand(logits.shape[0], -1)
        masses = self.token_masses(x.double(), side, mask)
        h, left = solve(logits.double(), masses, sigma, kappa, most=max(200, self.options["max_passes"]))
        self.unconverged += left
        p = probabilities(logits.double(), h)
        c = (p * masses).sum(-1)
        return p, masses, c, rounding(c, sigma, kappa)

    def exact(self, q, k, sides, v, mask):
        values = v.double()
        p, _, _, to_query = self.side(sides[0], q, 0, mask)
        if not self.holds[1] and self.options["free_keys"] == "tokens":  # each pivot chooses among tokens
            choices = torch.softmax(sides[1].double().masked_fill(~mask[:, None, None, :], -torch.inf), -1)
            summary = choices @ values
        else:
            p_key, masses, c, to_key = self.side(sides[1], k, 1, mask)
            to_key = to_key.transpose(-2, -1)
            summary = to_key @ ((p_key * masses) @ values) / (to_key @ c.unsqueeze(-1)).clamp_min(1e-37)
        return (p.transpose(-2, -1) @ (to_query @ summary)).to(v.dtype)
