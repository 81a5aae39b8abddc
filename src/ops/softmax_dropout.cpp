// SPDX-License-Identifier: MIT
#include "lotformer/ops/softmax_dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/bernoulli.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "lotformer/core/rng.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlockWeights = int64_t{1} << 22;  // weights of one block: 16 MiB in float32

struct Plan {
  std::vector<int64_t> keys, queries;  // tokens of each sequence that take part
  double dropout = 0;
  uint64_t seed = 0;
};

/// One block: sequence b, head h, query rows [first, first + count) against the first `keys` keys.
struct Block {
  int64_t b, h, first, count, keys;
  uint64_t seed;
};

void for_each_block(const Plan& plan, int64_t heads, const std::function<void(const Block&)>& work) {
  for (int64_t b = 0; b < static_cast<int64_t>(plan.keys.size()); ++b) {
    const int64_t keys = plan.keys[b], queries = plan.queries[b];
    const int64_t rows = std::max<int64_t>(1, kBlockWeights / std::max<int64_t>(1, keys));
    for (int64_t h = 0; h < heads; ++h) {
      const uint64_t seed = mix_seeds(mix_seeds(plan.seed, b), h);
      for (int64_t first = 0; first < queries; first += rows) {
        work({b, h, first, std::min(rows, queries - first), keys, mix_seeds(seed, first)});
      }
    }
  }
}

/// Softmax weights of a block and the factors that dropout puts on them (0 or 1 / (1 - dropout)), both
/// [count, keys].
struct Weights {
  at::Tensor weights, factors;
};

Weights weights_of(const Plan& plan, const Block& block, const at::Tensor& q, const at::Tensor& k) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  Weights result;
  result.weights = at::softmax(at::mm(q * scale, k.t()), -1);
  at::Generator generator = at::detail::createCPUGenerator(block.seed);
  result.factors =
      at::empty_like(result.weights).bernoulli_(1 - plan.dropout, generator).div_(1 - plan.dropout);
  return result;
}

struct DropoutAttention : torch::autograd::Function<DropoutAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, Plan plan) {
    at::Tensor out = at::zeros_like(q, at::MemoryFormat::Contiguous);
    for_each_block(plan, q.size(1), [&](const Block& block) {
      const auto rows = [&](const at::Tensor& x) {
        return x[block.b][block.h].narrow(0, block.first, block.count);
      };
      const auto tokens = [&](const at::Tensor& x) { return x[block.b][block.h].narrow(0, 0, block.keys); };
      const Weights w = weights_of(plan, block, rows(q), tokens(k));
      rows(out).copy_(at::mm(w.weights * w.factors, tokens(v)));
    });
    ctx->save_for_backward({q, k, v});
    ctx->saved_data["keys"] = plan.keys;
    ctx->saved_data["queries"] = plan.queries;
    ctx->saved_data["dropout"] = plan.dropout;
    ctx->saved_data["seed"] = static_cast<int64_t>(plan.seed);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &d_out = upstream[0];
    const Plan plan{ctx->saved_data["keys"].toIntVector(), ctx->saved_data["queries"].toIntVector(),
                    ctx->saved_data["dropout"].toDouble(),
                    static_cast<uint64_t>(ctx->saved_data["seed"].toInt())};
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
    at::Tensor d_q = at::zeros_like(q), d_k = at::zeros_like(k), d_v = at::zeros_like(v);
    for_each_block(plan, q.size(1), [&](const Block& block) {
      const auto rows = [&](const at::Tensor& x) {
        return x[block.b][block.h].narrow(0, block.first, block.count);
      };
      const auto tokens = [&](const at::Tensor& x) { return x[block.b][block.h].narrow(0, 0, block.keys); };
      const Weights w = weights_of(plan, block, rows(q), tokens(k));
      tokens(d_v).add_(at::mm((w.weights * w.factors).t(), rows(d_out)));
      at::Tensor d = at::mm(rows(d_out), tokens(v).t()).mul_(w.factors);
      d = (d - (d * w.weights).sum(-1, /*keepdim=*/true)).mul_(w.weights).mul_(scale);  // d scores
      rows(d_q).add_(at::mm(d, tokens(k)));
      tokens(d_k).add_(at::mm(d.t(), rows(q)));
    });
    return {d_q, d_k, d_v, {}};
  }
};

}  // namespace

at::Tensor softmax_attention_with_dropout(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const at::Tensor& lengths, bool padded_queries, double dropout) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const int64_t tokens = q.size(2);
  Plan plan;
  for (int64_t b = 0; b < q.size(0); ++b) {
    const int64_t real =
        lengths.defined() ? std::clamp<int64_t>(lengths[b].item<int64_t>(), 0, tokens) : tokens;
    plan.keys.push_back(real == 0 ? tokens : real);
    plan.queries.push_back(padded_queries ? tokens : real);
  }
  plan.dropout = dropout;
  plan.seed = static_cast<uint64_t>(at::empty({}, at::kLong).random_().item<int64_t>());
  const at::ScalarType type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return DropoutAttention::apply(q.to(type), k.to(type), v.to(type), plan).to(q.scalar_type());
}

}  // namespace lotformer::ops
