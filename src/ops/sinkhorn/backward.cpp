// SPDX-License-Identifier: MIT
// Backward through T half-iterations. With P_t = exp(A + potential_t + potential_(t-1)), whose rows over the
// side that t updates sum to 1, and g_t = dL/d(potential_t):
//   out = P_T v        dA  = P_T * W,  W_ij = dO_i . V_j;  g_T, g_(T-1) = its sums over either side
//   t = T ... 1        dA -= P_t * g_t,  g_(t-1) -= sum over the updated side of P_t * g_t
// (* entrywise, g_t along the side that t updates). Tiles of the side updated last hold whole rows of P_T, so
// g_T is known inside the tile; and the sums that give g_(t-2) from P_(t-1) are complete inside a tile as
// well. Hence one sweep for T and one for each pair (t - 1, t - 2).
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include "core.h"

namespace lotformer::ops::sinkhorn {
namespace {

Gradient zero_gradient(const Points& points, const Upstream& upstream) {
  return {{at::zeros_like(points.x[0]), at::zeros_like(points.x[1])}, at::zeros_like(upstream.v)};
}

/// Adds what dA of a tile [P, count, m] gives the points of both sides, times `sign`.
void add_logit_gradient(const Points& points, int major, const Tile& tile, const at::Tensor& d_logits,
                        double sign, Gradient& gradient) {
  const int minor = 1 - major;
  tile.of(gradient.x[major]).add_(at::bmm(d_logits, points.x[minor]), sign);
  gradient.x[minor].baddbmm_(d_logits.transpose(1, 2), tile.of(points.x[major]), 1, sign);
}

at::Tensor token_dot(const at::Tensor& a, const at::Tensor& b) {  // [P, n]
  return (a * b).sum(-1);
}

/// out = P_T v and half-iteration T. Returns g_(T-1).
at::Tensor last_half_iteration(const Points& points, const Upstream& upstream, const Trajectory& trajectory,
                               Gradient& gradient) {
  const int64_t last = static_cast<int64_t>(trajectory.size()) - 1;
  const int major = side_of(last), minor = 1 - major;
  const at::Tensor& left = major == 0 ? upstream.d_out : upstream.v;
  const at::Tensor& right = major == 0 ? upstream.v : upstream.d_out;
  const at::Tensor row_inner = token_dot(upstream.d_out, upstream.out);  // sums of P_T * W over the keys
  at::Tensor g_minor = at::zeros_like(trajectory[last - 1]);
  for_each_tile(points, major, [&](const Tile& tile) {
    const at::Tensor plan = tile_plan(points, major, tile, trajectory[last], trajectory[last - 1]);
    at::Tensor g;  // of the tile [P, count]
    if (major == 0) {
      gradient.v.baddbmm_(plan.transpose(1, 2), tile.of(left));
      g = tile.of(row_inner);
    } else {
      const at::Tensor d_v = at::bmm(plan, right);
      tile.of(gradient.v).copy_(d_v);
      g = token_dot(tile.of(left), d_v);
    }
    g_minor -= at::bmm(g.unsqueeze(1), plan).squeeze(1);
    at::Tensor d_logits = at::bmm(tile.of(left), right.transpose(1, 2));
    d_logits.sub_(g.unsqueeze(-1)).mul_(plan);
    add_logit_gradient(points, major, tile, d_logits, 1, gradient);
  });
  return g_minor + (minor == 1 ? token_dot(upstream.v, gradient.v) : row_inner);
}

/// Half-iterations t and, where there is one, t - 1, given g_t. Returns g_(t-2).
at::Tensor pair_of_half_iterations(const Points& points, const Trajectory& trajectory, int64_t t,
                                   const at::Tensor& g, Gradient& gradient) {
  const int minor = side_of(t), major = 1 - minor;
  const bool second = t > 1;
  at::Tensor g_before = at::zeros_like(g);
  for_each_tile(points, major, [&](const Tile& tile) {
    at::Tensor logits = second ? tile_logits(points, major, tile, trajectory[t - 2]) : at::Tensor();
    at::Tensor d_logits = tile_plan(points, major, tile, trajectory[t - 1], trajectory[t]);
    d_logits *= g.unsqueeze(1);
    if (second) {
      const at::Tensor g_major = d_logits.sum(-1, /*keepdim=*/true).neg_();
      logits += tile.of(trajectory[t - 1]).unsqueeze(-1);
      exponentiate(logits);
      logits *= g_major;
      g_before -= logits.sum(1);
      d_logits += logits;
    }
    add_logit_gradient(points, major, tile, d_logits, -1, gradient);
  });
  return g_before;
}

}  // namespace

Gradient unrolled_gradient(const Points& points, const Upstream& upstream, const Trajectory& trajectory) {
  Gradient gradient = zero_gradient(points, upstream);
  at::Tensor g = last_half_iteration(points, upstream, trajectory, gradient);
  for (int64_t t = static_cast<int64_t>(trajectory.size()) - 2; t >= 1; t -= 2) {
    g = pair_of_half_iterations(points, trajectory, t, g, gradient);
  }
  return gradient;
}

Gradient detached_gradient(const Points& points, const Upstream& upstream, const Trajectory& trajectory) {
  Gradient gradient = zero_gradient(points, upstream);
  const size_t last = trajectory.size() - 1, rows = last % 2 == 1 ? last : last - 1;
  const at::Tensor &u = trajectory[rows], &before = trajectory[rows - 1];  // u came from `before`
  const at::Tensor row_inner = token_dot(upstream.d_out, upstream.out);    // dL/du
  for_each_tile(points, 0, [&](const Tile& tile) {
    const at::Tensor update = tile_plan(points, 0, tile, u, before);
    const at::Tensor plan = rows == last ? update : tile_plan(points, 0, tile, u, trajectory[last]);
    gradient.v.baddbmm_(plan.transpose(1, 2), tile.of(upstream.d_out));
    at::Tensor d_logits = at::bmm(tile.of(upstream.d_out), upstream.v.transpose(1, 2));
    d_logits.mul_(plan).sub_(update * tile.of(row_inner).unsqueeze(-1));
    add_logit_gradient(points, 0, tile, d_logits, 1, gradient);
  });
  return gradient;
}

}  // namespace lotformer::ops::sinkhorn
