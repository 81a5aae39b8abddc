// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "core.h"
#include "groups.h"
#include "lotformer/ops/sinkhorn_attention.h"
#include "ops/tensor_tools/parallel_tasks.h"

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

/// On the CPU threads take whole groups: operators of a tile are short, and threads that meet after each of
/// them lose most of their time on a busy machine. Elsewhere this thread issues everything, on its own device
/// and stream.
void for_each_group(const Problems& problems, const std::function<void(int64_t)>& work) {
  const auto count = static_cast<int64_t>(problems.groups.size());
  if (problems.q.is_cpu()) return parallel_tasks(count, work);
  for (int64_t i = 0; i < count; ++i) work(i);
}

/// What the forward pass of one group leaves behind.
struct Transport {
  Trajectory trajectory;        // what the backward pass needs
  sinkhorn::Solution solution;  // of a solve
  at::Tensor out;               // P V
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

Transport transport(const Points& points, const at::Tensor& v, const SinkhornOptions& options) {
  Transport result;
  if (!options.until_converged) {
    result.trajectory = sinkhorn::run_half_iterations(points, v, options.half_iterations, result.out);
    return result;
  }
  const bool unrolled = options.gradient == SinkhornGradient::unrolled;
  result.solution = sinkhorn::solve(points, {options.tolerance, options.max_half_iterations},
                                    unrolled ? &result.trajectory : nullptr);
  if (!unrolled) result.trajectory = {result.solution.columns};
  result.trajectory.push_back(sinkhorn::last_rows(points, result.solution.columns, v, result.out));
  return result;
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
    std::vector<Transport> transports(problems.groups.size());
    for_each_group(problems, [&](int64_t i) {
      const Group& group = problems.groups[i];
      transports[i] = transport(problems.points(group), group.take(problems.v, 1), options);
      group.put(heads, transports[i].out, 0);
      transports[i].out.reset();
    });
    variable_list saved = {q, k, v, call.lengths};
    std::vector<int64_t> sizes;
    for (const Transport& part : transports) {
      if (options.until_converged) count(part.solution, options.tolerance, call.stats);
      saved.insert(saved.end(), part.trajectory.begin(), part.trajectory.end());
      sizes.push_back(static_cast<int64_t>(part.trajectory.size()));
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
    std::vector<Trajectory> trajectories;
    for (auto next = saved.begin() + 4; const int64_t size : sizes) {
      trajectories.emplace_back(next, next + size);
      next += size;
    }
    for_each_group(problems, [&](int64_t i) {
      const Group& group = problems.groups[i];
      const Gradient gradient = gradient_of(
          problems.points(group), {group.take(d_out, 0), group.take(problems.v, 1), group.take(out, 0)},
          trajectories[i], options.gradient);
      group.put(d_q, gradient.x[0] * problems.scale, 0);
      group.put(d_k, gradient.x[1], 1);
      group.put(d_v, gradient.v, 1);
    });
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
