// SPDX-License-Identifier: MIT
// Forward: a fixed number of half-iterations, or as many as each problem needs.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

#include "core.h"

namespace lotformer::ops::sinkhorn {
namespace {

constexpr int64_t kStalled = 3;       // checks without progress that end a problem
constexpr double kLargestLog = 80.0;  // of a column sum; n is the bound in exact arithmetic

/// Makes `out` the product of the plan and v while half-iteration `side` computes the plan's tiles.
TileVisitor apply_plan(const at::Tensor& v, int side, at::Tensor& out) {
  if (side == 0) {
    return [&v, &out](const Tile& tile, const at::Tensor& exponentials, const at::Tensor& sums) {
      tile.of(out).copy_(at::bmm(exponentials, v).div_(sums));
    };
  }
  return [&v, &out](const Tile& tile, const at::Tensor& exponentials, const at::Tensor& sums) {
    out.baddbmm_(exponentials.transpose(1, 2), tile.of(v) / sums);
  };
}

/// Mean |column sum - 1| [P]: the columns whose sums are exp(before - after) before their update.
at::Tensor column_residual(const Points& points, const at::Tensor& before, const at::Tensor& after) {
  at::Tensor error = (before - after).clamp_max_(kLargestLog).exp_().sub_(1).abs_();
  const at::Tensor& absent = points.absent[1];
  if (!absent.defined()) return error.mean(1);
  return error.masked_fill(absent, 0).sum(1) / absent.logical_not().sum(1);
}

Points select(const Points& points, const at::Tensor& problems) {
  Points selected;
  for (int side = 0; side < 2; ++side) {
    selected.x[side] = points.x[side].index_select(0, problems);
    if (points.absent[side].defined()) selected.absent[side] = points.absent[side].index_select(0, problems);
  }
  return selected;
}

/// The problems still at work.
struct Active {
  Points points;
  at::Tensor index;    // int64 [A], place in the whole group
  at::Tensor columns;  // [A, m]
  at::Tensor best;     // [A] least residual so far
  at::Tensor stalled;  // int64 [A] checks since it fell

  void keep(const at::Tensor& which) {
    points = select(points, which);
    for (at::Tensor* x : {&index, &columns, &best, &stalled}) *x = x->index_select(0, which);
  }
};

}  // namespace

Trajectory run_half_iterations(const Points& points, const at::Tensor& v, int64_t half_iterations,
                               at::Tensor& out) {
  out = at::zeros({points.problems(), points.tokens(0), v.size(2)}, v.options());
  Trajectory trajectory = {zero_potential(points, 1)};
  for (int64_t t = 1; t <= half_iterations; ++t) {
    const int side = side_of(t);
    trajectory.push_back(half_iteration(points, side, trajectory.back(),
                                        t == half_iterations ? apply_plan(v, side, out) : TileVisitor{}));
  }
  return trajectory;
}

at::Tensor last_rows(const Points& points, const at::Tensor& columns, const at::Tensor& v, at::Tensor& out) {
  out = at::zeros({points.problems(), points.tokens(0), v.size(2)}, v.options());
  return half_iteration(points, 0, columns, apply_plan(v, 0, out));
}

Solution solve(const Points& points, const Convergence& convergence, Trajectory* trajectory) {
  const auto indices = points.x[0].options().dtype(at::kLong);
  const int64_t problems = points.problems();
  Active active{points, at::arange(problems, indices), zero_potential(points, 1),
                at::full({problems}, std::numeric_limits<double>::infinity(), points.x[0].options()),
                at::zeros({problems}, indices)};
  Solution solution{active.columns.clone(), at::zeros({problems}, indices), active.best.clone()};
  if (trajectory) *trajectory = {active.columns};
  for (int64_t done = 2;; done += 2) {  // half-iterations behind us at the end of a turn
    const at::Tensor rows = half_iteration(active.points, 0, active.columns);
    const at::Tensor columns = half_iteration(active.points, 1, rows);
    const at::Tensor residual = column_residual(active.points, active.columns, columns);
    active.columns = columns;
    if (trajectory) trajectory->insert(trajectory->end(), {rows, columns});
    active.stalled = at::where(residual < active.best, at::zeros_like(active.stalled), active.stalled + 1);
    active.best = at::minimum(active.best, residual);
    solution.columns.index_copy_(0, active.index, columns);
    solution.residual.index_copy_(0, active.index, residual);
    solution.half_iterations.index_fill_(0, active.index, done + 1);
    if (done + 3 > convergence.max_half_iterations) return solution;
    const at::Tensor going =
        (residual > convergence.tolerance).logical_and_(active.stalled < kStalled).nonzero().squeeze(1);
    if (going.size(0) == 0) return solution;
    if (going.size(0) < active.index.size(0)) active.keep(going);
  }
}

}  // namespace lotformer::ops::sinkhorn
