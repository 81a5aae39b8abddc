# SPDX-License-Identifier: MIT
"""Pivot potentials of entropic transport between tokens and pivots, by damped Newton steps in float64.

Shapes: A [..., r, N] logits, a [..., 1, N] masses of the tokens with sums 1 (0 at padding), sigma [..., r] masses of the pivots, kappa [...]
= epsilon / rho: 0 holds the marginal c = sigma, infinity does not hold it (h = 0), between them it is a penalty. Formulas: docs/lotformer.md.
"""
import torch

TOLERANCE = 1e-11
LONGEST_STEP = 40
TINY = 1e-290
PROGRESS = 0.1  # of what the step's linear model promises, at least


def probabilities(logits, h):
    """p_ij = softmax over pivots of A_ij + h_j."""
    return torch.softmax(logits + h.unsqueeze(-1), -2)


def log_target(h, sigma, kappa):
    """log b, which log c has to become."""
    log_sigma = sigma.clamp_min(TINY).log()
    finite = kappa.masked_fill(kappa.isinf(), 0).unsqueeze(-1)
    return torch.where(finite > 0, torch.log_softmax(log_sigma - finite * h, -1), log_sigma)


def evaluate(logits, masses, h, sigma, kappa):
    """(c, Gram matrix, dual value, log b) at the potentials h."""
    p = probabilities(logits, h)
    weighted = p * masses
    normaliser = torch.logsumexp(logits + h.unsqueeze(-1), -2)
    finite = kappa.masked_fill(kappa.isinf(), 0)
    relaxed = -torch.logsumexp(sigma.clamp_min(TINY).log() - finite.unsqueeze(-1) * h, -1) / finite.clamp_min(TINY)
    gain = torch.where(finite > 0, relaxed, (sigma * h).sum(-1))
    dual = gain - (normaliser * masses.squeeze(-2)).sum(-1)
    return weighted.sum(-1), weighted @ p.transpose(-2, -1), dual, log_target(h, sigma, kappa)


def step_of(c, gram, log_b, theta, kappa):
    """x of ((1 + kappa) diag(c) - theta G) x = c log(b / c); theta 0 is Sinkhorn's step."""
    c = c.clamp_min(TINY)
    root = c.sqrt().unsqueeze(-1)
    right = root.squeeze(-1) * (log_b - c.log())
    eye = torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)
    # Square roots of c are an eigenvector whatever theta is: lifting its value moves x by a constant, which changes nothing.
    matrix = (1 + kappa)[..., None, None] * eye - theta[..., None, None] * gram / (root * root.transpose(-2, -1))
    factor, failed = torch.linalg.cholesky_ex(matrix + root @ root.transpose(-2, -1) + 1e-14 * eye)
    newton = torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1) / root.squeeze(-1)
    plain = (log_b - c.log()) / (1 + kappa).unsqueeze(-1)
    usable = (failed == 0) & newton.isfinite().all(-1) & (theta > 0)
    x = torch.where(usable.unsqueeze(-1), newton, plain)
    x = x - x.mean(-1, keepdim=True)
    return x * (LONGEST_STEP / x.abs().amax(-1, keepdim=True).clamp_min(LONGEST_STEP)), usable


def solve(logits, masses, sigma, kappa, most):
    """(h [..., r], number of problems above TOLERANCE after `most` evaluations)."""
    held = ~kappa.isinf()
    finite = kappa.masked_fill(~held, 0)
    h = torch.zeros_like(sigma)
    damping = torch.ones_like(kappa)  # 1 - theta: the first step is Sinkhorn's
    c, gram, dual, log_b = evaluate(logits, masses, h, sigma, kappa)
    for _ in range(most):
        residual = (c - log_b.exp()).abs().sum(-1)
        going = held & (residual > TOLERANCE)
        if not going.any():
            break
        x, newton = step_of(c, gram, log_b, 1 - damping, finite)
        trial = h + x
        after = evaluate(logits, masses, trial, sigma, kappa)
        promised = ((log_b.exp() - c) * x).sum(-1)
        better = (after[0] - after[3].exp()).abs().sum(-1) <= residual / 2
        taken = going & (better | ~newton | (after[2] - dual >= PROGRESS * promised))
        damping = torch.where(taken, torch.where(damping < 1e-6, 0.0, damping * 0.1), (damping * 10).clamp(1e-3, 1))
        h = torch.where(taken.unsqueeze(-1), trial, h)
        c, dual = torch.where(taken.unsqueeze(-1), after[0], c), torch.where(taken, after[2], dual)
        gram, log_b = torch.where(taken[..., None, None], after[1], gram), torch.where(taken.unsqueeze(-1), after[3], log_b)
    residual = (c - log_b.exp()).abs().sum(-1)
    return h, int((held & ~(residual <= 1e-6)).sum())


def rounding(c, sigma, kappa):
    """R [..., r, r] that moves the pivot marginal c onto sigma; the identity at convergence and where the marginal is relaxed."""
    eye = torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)
    scale = (sigma / c.clamp_min(TINY)).clamp_max(1)
    left = (sigma - c).clamp_min(0)
    moved = (1 - scale).unsqueeze(-1) * (left / left.sum(-1, keepdim=True).clamp_min(TINY)).unsqueeze(-2)
    return torch.where((kappa == 0)[..., None, None], scale.unsqueeze(-1) * eye + moved, eye)
