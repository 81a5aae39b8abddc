// SPDX-License-Identifier: MIT
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lotformer/ops/causal_pivot.h"
#include "lotformer/ops/lengths.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of some tokens that follow one another: weights of the pivots a [B, H, N, r], scores of the keys s [B, H,
/// N, r], values v [B, H, N, D].
struct Piece {
  at::Tensor a, s, v;
  int64_t tokens() const { return s.size(2); }
  Piece part(int64_t begin, int64_t count) const {
    return {a.narrow(2, begin, count), s.narrow(2, begin, count), v.narrow(2, begin, count)};
  }
};

struct Outcome {
  at::Tensor out;
  CausalPivotState state;
};

/// A chunk by its definition. Each prefix has a softmax of its own over what came before the chunk, as one
/// entry, and the chunk's tokens up to it: entries behind it are exactly zero and do not move the largest.
Outcome chunk(const Piece& x, const CausalPivotState& before) {
  const int64_t count = x.tokens();
  const at::Tensor places = at::arange(count, x.s.options().dtype(at::kLong));
  const at::Tensor later = places.unsqueeze(0).gt(places.unsqueeze(1));  // [C of prefixes, C of tokens]
  const at::Tensor scores = x.s.transpose(2, 3).unsqueeze(2);            // [B, H, 1, r, C]
  const at::Tensor seen = scores.masked_fill(later.unsqueeze(1), kNoMass);
  const at::Tensor carried = before.log_mass.unsqueeze(2).unsqueeze(-1);  // [B, H, 1, r, 1]
  const at::Tensor weights =
      at::softmax(at::cat({carried.expand({-1, -1, count, -1, 1}), seen}, -1), -1);  // [B, H, C, r, 1 + C]
  const at::Tensor shares = weights * x.a.unsqueeze(-1);
  const at::Tensor past = at::matmul(shares.select(-1, 0), before.mean);
  const at::Tensor present = at::matmul(shares.narrow(-1, 1, count).sum(3), x.v);
  const at::Tensor last = weights.select(2, count - 1);  // [B, H, r, 1 + C]
  return {past + present,
          {last.narrow(-1, 0, 1) * before.mean + at::matmul(last.narrow(-1, 1, count), x.v),
           at::logsumexp(at::cat({before.log_mass.unsqueeze(-1), x.s.transpose(2, 3)}, -1),
                         at::IntArrayRef({-1}))}};
}

/// Chunk behind chunk. Only the states between them are kept for the backward pass, which does each chunk
/// again.
class Scan : public torch::autograd::Function<Scan> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& s,
                               const at::Tensor& v, const at::Tensor& mean, const at::Tensor& log_mass) {
    const Piece all{a, s, v};
    CausalPivotState state{mean, log_mass};
    std::vector<at::Tensor> outs, kept = {a, s, v};
    for (int64_t begin = 0; begin < all.tokens(); begin += kCausalChunk) {
      kept.insert(kept.end(), {state.mean, state.log_mass});
      Outcome done = chunk(all.part(begin, std::min(kCausalChunk, all.tokens() - begin)), state);
      outs.push_back(std::move(done.out));
      state = std::move(done.state);
    }
    context->save_for_backward(kept);
    return {at::cat(outs, 2), state.mean, state.log_mass};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    // What is done again is what was done, though a caller's autocast may reach as far as here.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list kept = context->get_saved_variables();
    const Piece all{kept[0], kept[1], kept[2]};
    at::Tensor d_mean = gradients[1], d_log_mass = gradients[2];
    std::vector<at::Tensor> d_a, d_s, d_v;  // from the last chunk to the first
    for (auto at = static_cast<int64_t>(kept.size()) - 2; at >= 3; at -= 2) {
      const int64_t begin = (at - 3) / 2 * kCausalChunk;
      const int64_t count = std::min(kCausalChunk, all.tokens() - begin);
      const auto leaf = [](const at::Tensor& x) { return x.detach().requires_grad_(); };
      const Piece part = all.part(begin, count);
      const Piece x{leaf(part.a), leaf(part.s), leaf(part.v)};
      const auto place = static_cast<size_t>(at);
      const CausalPivotState state{leaf(kept[place]), leaf(kept[place + 1])};
      const at::AutoGradMode with_gradients(true);
      const Outcome done = chunk(x, state);
      const variable_list found = torch::autograd::grad(
          {done.out, done.state.mean, done.state.log_mass}, {x.a, x.s, x.v, state.mean, state.log_mass},
          {gradients[0].narrow(2, begin, count), d_mean, d_log_mass});
      d_a.push_back(found[0]);
      d_s.push_back(found[1]);
      d_v.push_back(found[2]);
      d_mean = found[3];
      d_log_mass = found[4];
    }
    const auto joined = [](std::vector<at::Tensor>& parts) {
      std::reverse(parts.begin(), parts.end());
      return at::cat(parts, 2);
    };
    return {joined(d_a), joined(d_s), joined(d_v), d_mean, d_log_mass};
  }
};

}  // namespace

at::Tensor causal_pivot_attention(const CausalPivotCall& call, CausalPivotState* state) {
  const at::Tensor mask = length_mask(call.lengths, call.q.size(2));
  const double scale = 1 / (std::sqrt(static_cast<double>(call.q.size(3))) * call.epsilon);
  const auto scores = [&](const at::Tensor& x) {  // [B, H, N, r]
    return at::matmul(select_real_tokens(x, mask), call.pivots.transpose(1, 2)) * scale;
  };
  const at::Tensor a = at::softmax(scores(call.q) + call.log_masses.unsqueeze(1), -1);
  at::Tensor s = scores(call.k);
  if (mask.defined()) s = s.masked_fill(mask.logical_not().unsqueeze(1).unsqueeze(-1), kNoMass);
  CausalPivotState now = state != nullptr ? *state : CausalPivotState{};
  if (!now.mean.defined()) {
    now.log_mass = at::full({s.size(0), s.size(1), s.size(3)}, kNoMass, s.options().requires_grad(false));
    now.mean = at::zeros({s.size(0), s.size(1), s.size(3), call.v.size(3)}, now.log_mass.options());
  }
  if (s.numel() == 0) return at::zeros_like(call.v);
  const variable_list done = Scan::apply(a, s, select_real_tokens(call.v, mask), now.mean, now.log_mass);
  if (state != nullptr) *state = {done[1], done[2]};
  return select_real_tokens(done[0], mask);
}

}  // namespace lotformer::ops
