// SPDX-License-Identifier: MIT
#include "lotformer/ops/softmax_dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels.h"
#include "lotformer/core/rng.h"
#include "lotformer/ops/dropout.h"
#include "ops/tensor_tools/parallel_tasks.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlockWeights = int64_t{1}
                                  << 18;  // weights of one block: 1 MiB in float32, which stays in cache

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

/// Threads take whole (sequence, head) pairs: blocks of one pair add to the same gradients of K and V, in
/// order.
void for_each_block(const Plan& plan, int64_t heads, const std::function<void(const Block&)>& work) {
  parallel_tasks(static_cast<int64_t>(plan.keys.size()) * heads, [&](int64_t pair) {
    const int64_t b = pair / heads, h = pair % heads;
    const int64_t keys = plan.keys[b], queries = plan.queries[b];
    const int64_t rows = std::max<int64_t>(1, kBlockWeights / std::max<int64_t>(1, keys));
    const uint64_t seed = mix_seeds(mix_seeds(plan.seed, b), h);
    for (int64_t first = 0; first < queries; first += rows) {
      work({b, h, first, std::min(rows, queries - first), keys, mix_seeds(seed, first)});
    }
  });
}

/// w := dropped w, both [count, keys] and contiguous.
void drop(at::Tensor& weights, const DropoutMask& mask) {
  if (weights.scalar_type() == at::kDouble) {
    auto* w = weights.data_ptr<double>();
    drop<double>(mask, weights.numel(), nullptr, w, w);
  } else {
    auto* w = weights.data_ptr<float>();
    drop<float>(mask, weights.numel(), nullptr, w, w);
  }
}

template <class T>
void drop_backward(at::Tensor& weights, at::Tensor& d_weights, const at::Tensor& inner,
                   const DropoutMask& mask) {
  drop_softmax_backward(mask, weights.size(0), weights.size(1), inner.data_ptr<T>(), weights.data_ptr<T>(),
                        d_weights.data_ptr<T>());
}

at::Tensor scaled(const at::Tensor& q) {
  return q * (1 / std::sqrt(static_cast<double>(q.size(-1))));
}

at::Tensor weights_of(const at::Tensor& q, const at::Tensor& k) {
  return at::softmax(at::mm(q, k.t()), -1);
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
      at::Tensor weights = weights_of(scaled(rows(q)), tokens(k));  // [count, keys]
      drop(weights, DropoutMask(block.seed, plan.dropout));
      rows(out).copy_(at::mm(weights, tokens(v)));
    });
    ctx->save_for_backward({q, k, v, out});
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
    const at::Tensor inner = (d_out * saved[3]).sum(-1, /*keepdim=*/true);  // sum_j w_ij dw_ij = dO_i . O_i
    const Plan plan{ctx->saved_data["keys"].toIntVector(), ctx->saved_data["queries"].toIntVector(),
                    ctx->saved_data["dropout"].toDouble(),
                    static_cast<uint64_t>(ctx->saved_data["seed"].toInt())};
    const bool is_double = q.scalar_type() == at::kDouble;
    at::Tensor d_q = at::zeros_like(q), d_k = at::zeros_like(k), d_v = at::zeros_like(v);
    for_each_block(plan, q.size(1), [&](const Block& block) {
      const auto rows = [&](const at::Tensor& x) {
        return x[block.b][block.h].narrow(0, block.first, block.count);
      };
      const auto tokens = [&](const at::Tensor& x) { return x[block.b][block.h].narrow(0, 0, block.keys); };
      const at::Tensor q_scaled = scaled(rows(q));
      at::Tensor weights = weights_of(q_scaled, tokens(k));
      at::Tensor d_scores = at::mm(rows(d_out), tokens(v).t());
      const at::Tensor row_inner = rows(inner).contiguous();
      const DropoutMask mask(block.seed, plan.dropout);
      is_double ? drop_backward<double>(weights, d_scores, row_inner, mask)
                : drop_backward<float>(weights, d_scores, row_inner, mask);
      rows(d_q).add_(scaled(at::mm(d_scores, tokens(k))));
      tokens(d_k).add_(at::mm(d_scores.t(), q_scaled));
      tokens(d_v).add_(at::mm(weights.t(), rows(d_out)));
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
  plan.seed = draw_seed();
  const at::ScalarType type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return DropoutAttention::apply(q.to(type), k.to(type), v.to(type), plan).to(q.scalar_type());
}

}  // namespace lotformer::ops
