# SPDX-License-Identifier: MIT
"""Expected sliced transport plans, formed as they are written (docs/espformer.md): O(L N^3) a problem."""
import math

import torch

from .attention import Attention, select_real

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def finalise(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def sampled_rows(problem, tokens, count):
    """The tokens whose costs evaluation looks at (src/core/rng.h, src/ops/sliced/attention.cpp): ascending."""
    rows = list(range(tokens))
    if count >= tokens:
        return rows
    state = finalise((finalise(GOLDEN) + problem * GOLDEN + GOLDEN) & MASK64)
    for i in range(count):
        bound = tokens - i
        limit = (MASK64 // bound) * bound
        while True:
            state = (state + GOLDEN) & MASK64
            value = finalise(state)
            if value < limit:
                break
        j = i + value % bound
        rows[i], rows[j] = rows[j], rows[i]
    return sorted(rows[:count])


class Espformer(Attention):
    def forward(self, q, k, v, mask):
        x, y = q / math.sqrt(q.shape[-1]), k / math.sqrt(k.shape[-1])
        if self.options["mode"] == "reference_fill":  # as published: padding is far away, and so meets only padding
            x, y = (side.masked_fill(~mask[:, None, :, None], 1e18) for side in (x, y))
        real = mask if self.options["mode"] == "masked" else torch.ones_like(mask)
        if self.options["slices"] == "axes":
            x_slices, y_slices = x, y
        else:
            x, y = select_real(x, real), select_real(y, real)
            x_slices, y_slices = (side @ self.directions.transpose(1, 2) for side in (x, y))
        out = torch.zeros_like(v)
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                sides = [side[b, h, real[b]] for side in (x, y, v, x_slices, y_slices)]
                out[b, h, real[b]] = self.hard(*sides) if self.options["hard"] else self.soft(b * q.shape[1] + h, *sides)
        return out

    def soft_sort(self, slices):
        """Soft permutations [L, rank, token] of the values [N, L]."""
        values = slices.T
        ranked = values.sort(-1, descending=True).values
        return torch.softmax(-(values.unsqueeze(1) - ranked.unsqueeze(2)).square() / self.options["tau"], -1)

    def mixture(self, costs):
        if costs is None:
            return None
        return torch.softmax(-self.options["inverse_temperature"] * costs, -1)

    def soft(self, problem, x, y, v, x_slices, y_slices):
        u, w = self.soft_sort(x_slices), self.soft_sort(y_slices)
        costs = None
        if self.options["inverse_temperature"] != 0:
            n = x.shape[0]
            rows = range(n) if self.options["weights"] == "exact" else sampled_rows(problem, n, self.options["weight_samples"])
            rows = torch.tensor(list(rows))
            distances = (x[rows].unsqueeze(1) - y.unsqueeze(0)).square().sum(-1).sqrt()
            costs = ((u[:, :, rows] @ distances) * w).sum((1, 2)) * (n / len(rows))
        weights = self.mixture(costs)
        plans = u.transpose(1, 2) @ (w @ v)
        return plans.mean(0) if weights is None else (weights[:, None, None] * plans).sum(0)

    def hard(self, x, y, v, x_slices, y_slices):
        to, source = (torch.sort(s, dim=0, descending=True, stable=True).indices for s in (x_slices, y_slices))
        out, costs = [], []
        for slice_ in range(to.shape[1]):
            sent = torch.zeros_like(v)
            sent[to[:, slice_]] = v[source[:, slice_]]
            out.append(sent)
            costs.append((x[to[:, slice_]] - y[source[:, slice_]]).square().sum(-1).sqrt().sum())
        weights = self.mixture(torch.stack(costs) if self.options["inverse_temperature"] != 0 else None)
        plans = torch.stack(out)
        return plans.mean(0) if weights is None else (weights[:, None, None] * plans).sum(0)
