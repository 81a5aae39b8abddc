// SPDX-License-Identifier: MIT
// Gradient of the converged map (implicit function theorem; Luise et al. 2018). P has row sums 1 and column
// sums c (1 at convergence). With G = P * (dO V^T), alpha = its row sums, beta = its column sums, the change
// of both potentials has to keep the marginals, which makes
//   dA = G - P * (lambda_i + mu_j),    lambda = alpha - P mu,    (diag(c) - P^T P) mu = beta - P^T alpha.
// The matrix is positive semidefinite with the constants as null space (more where the plan falls into
// blocks), and the right side is orthogonal to them. Scaled by c^(-1/2) its eigenvalues lie in [0, 1];
// conjugate gradients need one sweep a step and no matrix. Their steps grow with the square root of what
// Sinkhorn's iterations need.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

#include "core.h"

namespace lotformer::ops::sinkhorn {
namespace {

constexpr int64_t kMaxSteps = 300;

at::Tensor problem_dot(const at::Tensor& a, const at::Tensor& b) {  // over the last axis, kept
  return (a * b).sum(-1, /*keepdim=*/true);
}

double epsilon_of(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                        : std::numeric_limits<float>::epsilon();
}

/// The plan at converged potentials, as an operator.
struct Plan {
  const Points& points;
  const at::Tensor &rows, &columns;

  void for_each(const std::function<void(const Tile&, const at::Tensor& plan)>& work) const {
    for_each_tile(points, 0,
                  [&](const Tile& tile) { work(tile, tile_plan(points, 0, tile, rows, columns)); });
  }
  /// P^T P x for x [P, m].
  at::Tensor gram(const at::Tensor& x) const {
    at::Tensor result = at::zeros_like(x);
    for_each([&](const Tile&, const at::Tensor& plan) {
      const at::Tensor product = at::bmm(plan, x.unsqueeze(-1));  // [P, count, 1]
      result += at::bmm(product.transpose(1, 2), plan).squeeze(1);
    });
    return result;
  }
};

/// Conjugate gradients on (I - D P^T P D) y = b, D = `scale` = diag(c)^(-1/2), every problem with its own
/// end. `root` = c^(1/2) spans the null space. `size` [P, 1] is the size of what b is a difference of:
/// residuals below its rounding are noise.
at::Tensor conjugate_gradients(const Plan& plan, const at::Tensor& root, const at::Tensor& scale,
                               const at::Tensor& b, const at::Tensor& size) {
  const double precision = epsilon_of(b);
  const at::Tensor root_square = problem_dot(root, root);
  const auto project = [&](const at::Tensor& x) { return x - root * (problem_dot(root, x) / root_square); };
  at::Tensor y = at::zeros_like(b), r = project(b), p = r, rr = problem_dot(r, r);
  // Squares of the norms: 10 epsilon of b, or the rounding of b.
  const at::Tensor floor =
      at::maximum(rr * (100 * precision * precision), size.square() * (precision * precision));
  at::Tensor active = rr > floor;  // [P, 1]
  for (int64_t step = 0; step < kMaxSteps && active.any().item<bool>(); ++step) {
    const at::Tensor image = p - scale * plan.gram(scale * p);
    const at::Tensor curvature = problem_dot(p, image);
    // Directions in which the matrix is numerically singular carry no answer.
    active = active.logical_and(curvature > problem_dot(p, p) * (8 * precision));
    const at::Tensor length = at::where(active, rr / curvature, at::zeros_like(rr));
    y = y + length * p;
    r = project(r - length * image);
    const at::Tensor rr_new = problem_dot(r, r);
    p = r + p * at::where(active, rr_new / rr, at::zeros_like(rr));
    rr = rr_new;
    active = active.logical_and(rr > floor);
  }
  return y;
}

}  // namespace

Gradient implicit_gradient(const Points& points, const Upstream& upstream, const at::Tensor& rows,
                           const at::Tensor& columns) {
  const Plan plan{points, rows, columns};
  Gradient gradient{{at::zeros_like(points.x[0]), at::zeros_like(points.x[1])}, at::zeros_like(upstream.v)};
  const at::Tensor alpha = (upstream.d_out * upstream.out).sum(-1);  // [P, n]
  at::Tensor mass = at::zeros_like(columns), carried = at::zeros_like(columns);
  plan.for_each([&](const Tile& tile, const at::Tensor& p) {
    gradient.v.baddbmm_(p.transpose(1, 2), tile.of(upstream.d_out));
    mass += p.sum(1);
    carried += at::bmm(tile.of(alpha).unsqueeze(1), p).squeeze(1);
  });
  const at::Tensor beta = (upstream.v * gradient.v).sum(-1);
  // Columns without mass (absent, or underflowed far from convergence) are no part of the system: mu is zero
  // there.
  if (points.absent[1].defined()) mass.masked_fill_(points.absent[1], 0);
  const at::Tensor root = mass.sqrt(), scale = at::where(root > 0, root.reciprocal(), at::zeros_like(root));
  const at::Tensor size = (problem_dot(beta, beta) + problem_dot(alpha, alpha)).sqrt();
  const at::Tensor mu = scale * conjugate_gradients(plan, root, scale, scale * (beta - carried), size);
  plan.for_each([&](const Tile& tile, const at::Tensor& p) {
    const at::Tensor lambda = tile.of(alpha).unsqueeze(-1) - at::bmm(p, mu.unsqueeze(-1));
    at::Tensor d_logits = at::bmm(tile.of(upstream.d_out), upstream.v.transpose(1, 2));
    d_logits.sub_(lambda).sub_(mu.unsqueeze(1)).mul_(p);
    tile.of(gradient.x[0]).copy_(at::bmm(d_logits, points.x[1]));
    gradient.x[1].baddbmm_(d_logits.transpose(1, 2), tile.of(points.x[0]));
  });
  return gradient;
}

}  // namespace lotformer::ops::sinkhorn
