// SPDX-License-Identifier: MIT
#include "lotformer/ops/sinkhorn_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "sinkhorn_core.h"
#include "sinkhorn_groups.h"

namespace lotformer::ops {
namespace {

using sinkhorn::Gradient;
using sinkhorn::Group;
using sinkhorn::Points;
using sinkhorn::Trajectory;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Both forward and backward see the inputs through this: heads flattened, queries scaled, groups cut out.
struct Problems {
  at::Tensor q, k, v;  // [B H, N, D]
  double scale;
  std::vector<Group> groups;

  Problems(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
           const at::Tensor& lengths, const SinkhornOptions& options)
      : scale(1 / (std::sqrt(static_cast<double>(queries.size(3))) * options.epsilon)) {
    q = (queries * scale).flatten(0, 1);
    k = keys.flatten(0, 1);
    v = values.flatten(0, 1);
    const bool single = options.until_converged && options.gradient == SinkhornGradient::unrolled;
    const bool by_sequence = options.batching == SinkhornBatching::automatic
                                 ? queries.is_cpu()
                                 : options.batching == SinkhornBatching::by_sequence;
    groups = sinkhorn::make_groups(queries, lengths, {by_sequence || single, options.padded_queries, single});
  }

  Points points(const Group& group) const {
    return {{group.take(q, 0), group.take(k, 1)}, {group.absent[0], group.absent[1]}};
  }
};

/// Adds what the solver did for one group.
void count(const sinkhorn::Solution& solution, double tolerance, SinkhornStats& stats) {
  stats.problems += solution.residual.size(0);
  stats.half_iterations += solution.half_iterations.sum().item<int64_t>();
  stats.longest = std::max(stats.longest, solution.half_iterations.max().item<int64_t>());
  stats.capped += solution.residual.le(tolerance).logical_not().sum().item<int64_t>();
  const double residual = solution.residual.max().item<double>();  // NaN when any is
  if (std::isnan(residual) || residual > stats.residual) stats.residual = residual;
}

/// Potentials that the backward pass needs; `out` receives P V of the group.
Trajectory transport(const Points& points, const at::Tensor& v, const SinkhornOptions& options,
                     SinkhornStats& stats, at::Tensor& out) {
  if (!options.until_converged) {
    return sinkhorn::run_half_iterations(points, v, options.half_iterations, out);
  }
  Trajectory trajectory;
  const bool unrolled = options.gradient == SinkhornGradient::unrolled;
  const sinkhorn::Solution solution = sinkhorn::solve(
      points, {options.tolerance, options.max_half_iterations}, unrolled ? &trajectory : nullptr);
  count(solution, options.tolerance, stats);
  if (!unrolled) trajectory = {solution.columns};
  trajectory.push_back(sinkhorn::last_rows(points, solution.columns, v, out));
  return trajectory;
}

/// Not a tensor argument: autograd refuses undefined ones.
struct Call {
  at::Tensor lengths;
  SinkhornOptions options;
  SinkhornStats& stats;
};

struct SinkhornAttention : torch::autograd::Function<SinkhornAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const Call& call) {
    const SinkhornOptions& options = call.options;
    const Problems problems(q, k, v, call.lengths, options);
    const at::Tensor out = at::zeros(q.sizes(), q.options());
    at::Tensor heads = out.flatten(0, 1);
    variable_list saved = {q, k, v, call.lengths};
    std::vector<int64_t> sizes;
    for (const Group& group : problems.groups) {
      at::Tensor part;
      const Trajectory trajectory =
          transport(problems.points(group), group.take(problems.v, 1), options, call.stats, part);
      group.put(heads, part, 0);
      saved.insert(saved.end(), trajectory.begin(), trajectory.end());
      sizes.push_back(static_cast<int64_t>(trajectory.size()));
    }
    saved.push_back(out);
    ctx->save_for_backward(saved);
    ctx->saved_data["potentials"] = sizes;
    ctx->saved_data["epsilon"] = options.epsilon;
    ctx->saved_data["until_converged"] = options.until_converged;
    ctx->saved_data["gradient"] = static_cast<int64_t>(options.gradient);
    ctx->saved_data["padded_queries"] = options.padded_queries;
    ctx->saved_data["batching"] = static_cast<int64_t>(options.batching);
    return out;
  }

  static SinkhornOptions saved_options(AutogradContext* ctx) {
    SinkhornOptions options;
    options.epsilon = ctx->saved_data["epsilon"].toDouble();
    options.until_converged = ctx->saved_data["until_converged"].toBool();
    options.gradient = static_cast<SinkhornGradient>(ctx->saved_data["gradient"].toInt());
    options.padded_queries = ctx->saved_data["padded_queries"].toBool();
    options.batching = static_cast<SinkhornBatching>(ctx->saved_data["batching"].toInt());
    return options;
  }

  static Gradient gradient_of(const Points& points, const sinkhorn::Upstream& upstream,
                              const Trajectory& trajectory, SinkhornGradient kind) {
    if (kind == SinkhornGradient::detached) {
      return sinkhorn::detached_gradient(points, upstream, trajectory);
    }
    if (kind == SinkhornGradient::implicit) {
      return sinkhorn::implicit_gradient(points, upstream, trajectory[1], trajectory[0]);
    }
    return sinkhorn::unrolled_gradient(points, upstream, trajectory);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list saved = ctx->get_saved_variables();
    const SinkhornOptions options = saved_options(ctx);
    const Problems problems(saved[0], saved[1], saved[2], saved[3], options);
    const std::vector<int64_t> sizes = ctx->saved_data["potentials"].toIntVector();
    const at::Tensor d_out = upstream[0].flatten(0, 1), out = saved.back().flatten(0, 1);
    at::Tensor d_q = at::zeros_like(problems.q), d_k = at::zeros_like(problems.q),
               d_v = at::zeros_like(problems.q);
    auto next = saved.begin() + 4;
    for (size_t i = 0; i < problems.groups.size(); ++i) {
      const Group& group = problems.groups[i];
      const Trajectory trajectory(next, next + sizes[i]);
      next += sizes[i];
      const Gradient gradient = gradient_of(
          problems.points(group), {group.take(d_out, 0), group.take(problems.v, 1), group.take(out, 0)},
          trajectory, options.gradient);
      group.put(d_q, gradient.x[0] * problems.scale, 0);
      group.put(d_k, gradient.x[1], 1);
      group.put(d_v, gradient.v, 1);
    }
    const auto heads = [&](const at::Tensor& x) {
      return x.unflatten(0, {saved[0].size(0), saved[0].size(1)});
    };
    return {heads(d_q), heads(d_k), heads(d_v), {}};
  }
};

}  // namespace

at::Tensor sinkhorn_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& lengths, const SinkhornOptions& options,
                              SinkhornStats* stats) {
  SinkhornStats counted;
  at::Tensor out =
      q.numel() == 0 ? at::zeros_like(q) : SinkhornAttention::apply(q, k, v, Call{lengths, options, counted});
  if (stats) *stats = counted;
  return out;
}

}  // namespace lotformer::ops
