// SPDX-License-Identifier: MIT
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "lotformer/core/rng.h"
#include "lotformer/ops/sliced_attention.h"
#include "ops/tensor_tools/flush_denormals.h"
#include "ops/tensor_tools/parallel_tasks.h"
#include "problem.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// All problems of a call; tensors are contiguous and on the CPU.
struct Call {
  at::Tensor x, y, v, x_slices, y_slices;
  /// [B].
  std::vector<int64_t> lengths;
  SlicedOptions options;

  int64_t problems() const { return x.size(0) * x.size(1); }
  int64_t tokens_of(int64_t problem) const { return lengths[problem / x.size(1)]; }
  template <class T>
  SlicedProblem<T> problem(int64_t index) const {
    const auto rows = [&](const at::Tensor& t) {
      return t.const_data_ptr<T>() + index * t.size(2) * t.size(3);
    };
    return {tokens_of(index), x.size(3), v.size(3), x_slices.size(3), options.tau,
            rows(x),          rows(y),   rows(v),   rows(x_slices),   rows(y_slices)};
  }
  CostRows cost_rows(int64_t index) const;
};

/// All tokens, or a sample without replacement in ascending order.
CostRows Call::cost_rows(int64_t index) const {
  const int64_t tokens = tokens_of(index), count = options.cost_rows;
  CostRows rows;
  rows.tokens.resize(tokens);
  std::iota(rows.tokens.begin(), rows.tokens.end(), int64_t{0});
  if (count == 0 || count >= tokens) return rows;
  Rng rng(mix_seeds(options.seed, static_cast<uint64_t>(index)));
  for (int64_t i = 0; i < count; ++i) {
    std::swap(rows.tokens[i], rows.tokens[i + static_cast<int64_t>(rng.below(tokens - i))]);
  }
  rows.tokens.resize(count);
  std::sort(rows.tokens.begin(), rows.tokens.end());
  rows.factor = static_cast<double>(tokens) / static_cast<double>(count);
  return rows;
}

template <class T>
bool is_finite(const SlicedProblem<T>& p) {
  const auto all = [&](const T* values) {
    return std::all_of(values, values + p.tokens * p.slices, [](T value) { return std::isfinite(value); });
  };
  return all(p.x_slices) && all(p.y_slices);
}

template <class T>
std::vector<double> mixture_weights(const Call& call, int64_t index) {
  const SlicedProblem<T> problem = call.problem<T>(index);
  const double beta = call.options.inverse_temperature;
  if (beta == 0) return std::vector<double>(problem.slices, 1.0 / static_cast<double>(problem.slices));
  std::vector<double> weights = slice_costs(problem, call.cost_rows(index));
  const double least = *std::min_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(-beta * (weight - least));
  // Below the square of the rounding error a slice changes nothing that can be seen, and need not be
  // computed.
  constexpr double kEpsilon = std::numeric_limits<T>::epsilon();
  for (double& weight : weights) weight = weight < kEpsilon * kEpsilon * sum ? 0 : weight / sum;
  return weights;
}

/// out [B, H, N, width] and weights [B * H, L], zeroed.
template <class T>
void run_forward(const Call& call, at::Tensor& out, at::Tensor& weights) {
  parallel_tasks(call.problems(), [&](int64_t index) {
    const FlushDenormals flush;
    const SlicedProblem<T> problem = call.problem<T>(index);
    if (problem.tokens == 0) return;
    T* rows = out.data_ptr<T>() + index * out.size(2) * out.size(3);
    if (!is_finite(problem)) {
      std::fill_n(rows, problem.tokens * problem.width, std::numeric_limits<T>::quiet_NaN());
      return;
    }
    const std::vector<double> mixture = mixture_weights<T>(call, index);
    std::copy(mixture.begin(), mixture.end(), weights.data_ptr<double>() + index * problem.slices);
    add_slices(problem, mixture, rows);
  });
}

/// dL/dD_l = -beta w_l (dL/dw_l - sum_m w_m dL/dw_m).
std::vector<double> cost_gradient(const std::vector<double>& weights, const std::vector<double>& d_weights,
                                  double beta) {
  const double mean = std::inner_product(weights.begin(), weights.end(), d_weights.begin(), 0.0);
  std::vector<double> d_costs(weights.size());
  for (size_t l = 0; l < weights.size(); ++l) d_costs[l] = -beta * weights[l] * (d_weights[l] - mean);
  return d_costs;
}

template <class T>
void run_backward(const Call& call, const at::Tensor& weights, const at::Tensor& d_out,
                  const variable_list& gradients) {
  parallel_tasks(call.problems(), [&](int64_t index) {
    const FlushDenormals flush;
    const SlicedProblem<T> problem = call.problem<T>(index);
    if (problem.tokens == 0) return;
    const auto rows = [&](const at::Tensor& t) { return t.data_ptr<T>() + index * t.size(2) * t.size(3); };
    if (!is_finite(problem)) {
      for (const at::Tensor& gradient : gradients) {
        std::fill_n(rows(gradient), problem.tokens * gradient.size(3), std::numeric_limits<T>::quiet_NaN());
      }
      return;
    }
    const SlicedGradients<T> to{rows(gradients[0]), rows(gradients[1]), rows(gradients[2]),
                                rows(gradients[3]), rows(gradients[4])};
    const double* first = weights.const_data_ptr<double>() + index * problem.slices;
    const std::vector<double> mixture(first, first + problem.slices);
    const T* upstream = d_out.const_data_ptr<T>() + index * d_out.size(2) * d_out.size(3);
    const std::vector<double> d_weights = add_slices_backward(problem, mixture, upstream, to);
    if (call.options.inverse_temperature == 0) return;
    slice_costs_backward(problem, call.cost_rows(index),
                         cost_gradient(mixture, d_weights, call.options.inverse_temperature), to);
  });
}

struct SlicedAttention : torch::autograd::Function<SlicedAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& y,
                            const at::Tensor& v, const at::Tensor& x_slices, const at::Tensor& y_slices,
                            const std::vector<int64_t>& lengths, const SlicedOptions& options) {
    const Call call{x.contiguous(),        y.contiguous(), v.contiguous(), x_slices.contiguous(),
                    y_slices.contiguous(), lengths,        options};
    at::Tensor out = at::zeros_like(call.v);
    at::Tensor weights = at::zeros({call.problems(), x_slices.size(3)}, v.options().dtype(at::kDouble));
    v.scalar_type() == at::kDouble ? run_forward<double>(call, out, weights)
                                   : run_forward<float>(call, out, weights);
    ctx->save_for_backward({call.x, call.y, call.v, call.x_slices, call.y_slices, weights});
    ctx->saved_data["lengths"] = lengths;
    ctx->saved_data["tau"] = options.tau;
    ctx->saved_data["inverse_temperature"] = options.inverse_temperature;
    ctx->saved_data["cost_rows"] = options.cost_rows;
    ctx->saved_data["seed"] = static_cast<int64_t>(options.seed);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const SlicedOptions options{
        ctx->saved_data["tau"].toDouble(), ctx->saved_data["inverse_temperature"].toDouble(),
        ctx->saved_data["cost_rows"].toInt(), static_cast<uint64_t>(ctx->saved_data["seed"].toInt())};
    const Call call{
        saved[0], saved[1], saved[2], saved[3], saved[4], ctx->saved_data["lengths"].toIntVector(), options};
    variable_list gradients;
    for (int i = 0; i < 5; ++i) gradients.push_back(at::zeros_like(saved[i]));
    const at::Tensor d_out = upstream[0].contiguous();
    d_out.scalar_type() == at::kDouble ? run_backward<double>(call, saved[5], d_out, gradients)
                                       : run_backward<float>(call, saved[5], d_out, gradients);
    gradients.resize(7);  // lengths and options have none
    return gradients;
  }
};

}  // namespace

at::Tensor sliced_attention(const SlicedInputs& inputs, const SlicedOptions& options) {
  if (inputs.v.numel() == 0 || inputs.x_slices.numel() == 0) return at::zeros_like(inputs.v);
  const int64_t tokens = inputs.v.size(2);
  std::vector<int64_t> lengths(inputs.v.size(0), tokens);
  if (inputs.lengths.defined()) {
    const at::Tensor host = inputs.lengths.cpu().contiguous();
    for (size_t b = 0; b < lengths.size(); ++b) {
      lengths[b] = std::clamp<int64_t>(host.const_data_ptr<int64_t>()[b], 0, tokens);
    }
  }
  const at::Device device = inputs.v.device();
  return SlicedAttention::apply(inputs.x.cpu(), inputs.y.cpu(), inputs.v.cpu(), inputs.x_slices.cpu(),
                                inputs.y_slices.cpu(), lengths, options)
      .to(device);
}

}  // namespace lotformer::ops
