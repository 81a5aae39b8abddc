# SPDX-License-Identifier: MIT
"""Transport between queries and keys: half-iterations between uniform marginals, rows first (docs/sinkformer.md)."""
import math

import torch

from .attention import Attention, select_real

STALLED = 3  # checks without progress that end a problem


class Sums:
    """The two half-iterations on logits [B, H, rows, columns], which are -infinity in columns that are not real."""

    def __init__(self, logits, row, column):
        self.logits, self.row, self.column = logits, row, column

    def rows(self, columns):
        return -torch.logsumexp(self.logits + columns, 3, keepdim=True)

    def columns(self, rows):
        sums = torch.logsumexp((self.logits + rows).masked_fill(~self.row, -torch.inf), 2, keepdim=True)
        return -sums.masked_fill(~self.column, 0)


class Sinkformer(Attention):
    def forward(self, q, k, v, mask):
        mode = self.options["mode"]
        logits = q @ k.transpose(-2, -1) / (math.sqrt(q.shape[-1]) * self.options["epsilon"])
        everything = torch.ones_like(mask)
        rows_real = mask if mode in ("truncated", "exact") else everything
        columns_real = everything if mode == "reference" else mask
        logits = logits.masked_fill(~columns_real[:, None, None, :], -torch.inf)
        sums = Sums(logits, rows_real[:, None, :, None], columns_real[:, None, None, :])
        rows, columns = (self.exact if mode == "exact" else self.truncated)(sums)
        out = (logits + rows + columns).exp() @ select_real(v, columns_real)
        return select_real(out, rows_real)

    def truncated(self, sums):
        rows, columns = torch.zeros_like(sums.logits[..., :1]), torch.zeros_like(sums.logits[..., :1, :])
        for t in range(1, self.options["half_iterations"] + 1):
            if t % 2 == 1:
                rows = sums.rows(columns)
            else:
                columns = sums.columns(rows)
        return rows, columns

    def exact(self, sums):
        """Each problem stops by itself: at the tolerance of evaluation, at its most half-iterations, or without progress."""
        logits, column = sums.logits, sums.column
        columns = torch.zeros_like(logits[..., :1, :])
        best = torch.full(logits.shape[:2], torch.inf, dtype=logits.dtype, device=logits.device)
        stalled = torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device)
        going, done = torch.ones_like(stalled, dtype=torch.bool), 2
        while True:
            after = sums.columns(sums.rows(columns))
            error = ((columns - after).clamp_max(80).exp() - 1).abs().masked_fill(~column, 0)
            residual = error.sum((2, 3)) / column.sum((1, 2, 3))[:, None]
            columns = torch.where(going[..., None, None], after, columns)
            stalled = torch.where(residual < best, 0, stalled + 1)
            best = torch.minimum(best, residual)
            going = going & (residual > self.options["eval_tolerance"]) & (stalled < STALLED)
            if done + 3 > self.options["max_half_iterations"] or not going.any():
                return sums.rows(columns), columns
            done += 2
