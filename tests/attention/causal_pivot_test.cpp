// SPDX-License-Identifier: MIT
#include "lotformer/attention/causal_pivot.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>

#include "lotformer/attention/lotformer.h"
#include "lotformer/ops/autocast.h"
// after torch
#include "support/catch.h"

using namespace lotformer;
using ops::CausalPivotCall;
using ops::CausalPivotState;

namespace {

constexpr int64_t kBatch = 2, kHeads = 3, kTokens = 41, kDim = 5, kPivots = 4;

double largest(const at::Tensor& x) {
  return x.abs().max().item<double>();
}

/// A call of float64; `spread` is the standard deviation of the scores, in temperatures.
CausalPivotCall make_call(double spread = 1, int64_t tokens = kTokens) {
  torch::manual_seed(4);
  const auto numbers = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
  CausalPivotCall call;
  call.epsilon = 0.3;
  call.q = numbers({kBatch, kHeads, tokens, kDim});
  call.k = numbers({kBatch, kHeads, tokens, kDim});
  call.v = numbers({kBatch, kHeads, tokens, kDim});
  call.pivots = numbers({kHeads, kPivots, kDim}) * (spread * call.epsilon);
  call.log_masses = at::log_softmax(numbers({kHeads, kPivots}), -1);
  return call;
}

/// The definition: one N x N map a pivot.
at::Tensor by_definition(const CausalPivotCall& call) {
  const double scale = 1 / (std::sqrt(static_cast<double>(kDim)) * call.epsilon);
  const int64_t tokens = call.q.size(2);
  const at::Tensor place = at::arange(tokens);
  const at::Tensor later = place.unsqueeze(0).gt(place.unsqueeze(1));
  const at::Tensor z = call.pivots.transpose(1, 2);
  const at::Tensor a =
      at::softmax(at::matmul(call.q, z) * scale + call.log_masses.unsqueeze(1), -1);  // [B, H, N, r]
  const at::Tensor s = (at::matmul(call.k, z) * scale).transpose(2, 3).unsqueeze(3);  // [B, H, r, 1, N]
  const at::Tensor b = at::softmax(
      s.expand({-1, -1, -1, tokens, -1}).masked_fill(later, -std::numeric_limits<double>::infinity()), -1);
  return at::matmul((a.transpose(2, 3).unsqueeze(-1) * b).sum(2), call.v);
}

std::vector<at::Tensor> gradients(const CausalPivotCall& given,
                                  at::Tensor (*attention)(const CausalPivotCall&)) {
  CausalPivotCall call = given;
  std::vector<at::Tensor> inputs;
  for (at::Tensor* x : {&call.q, &call.k, &call.v, &call.pivots, &call.log_masses}) {
    *x = x->detach().clone().requires_grad_();
    inputs.push_back(*x);
  }
  torch::manual_seed(8);
  const at::Tensor out = attention(call);
  return torch::autograd::grad({(out * at::randn(out.sizes(), out.options())).sum()}, inputs);
}

at::Tensor ours(const CausalPivotCall& call) {
  return ops::causal_pivot_attention(call);
}

CausalPivotCall tokens_of(const CausalPivotCall& call, int64_t begin, int64_t count) {
  CausalPivotCall part = call;
  for (at::Tensor* x : {&part.q, &part.k, &part.v}) *x = x->narrow(2, begin, count);
  return part;
}

}  // namespace

TEST_CASE("causal pivots: values and gradients are those of the definition", "[causal]") {
  for (const double spread : {0.1, 1.0, 20.0}) {
    for (const int64_t tokens : {int64_t{1}, ops::kCausalChunk, kTokens}) {
      INFO("scores of " << spread << " temperatures, " << tokens << " tokens");
      const CausalPivotCall call = make_call(spread, tokens);
      CHECK(largest(ours(call) - by_definition(call)) < 1e-12);
      const auto found = gradients(call, &ours), wanted = gradients(call, &by_definition);
      for (size_t i = 0; i < wanted.size(); ++i) {
        INFO("input " << i);
        CHECK(largest(found[i] - wanted[i]) < 1e-10 * (1 + largest(wanted[i])));
      }
    }
  }
}

TEST_CASE("causal pivots: a later token changes nothing, to the bit", "[causal]") {
  for (const int64_t known : {1, 15, 16, 30}) {
    INFO(known << " tokens");
    const CausalPivotCall call = make_call();
    CausalPivotCall other = call;
    for (at::Tensor* x : {&other.q, &other.k, &other.v}) {
      *x = x->clone();
      x->narrow(2, known, kTokens - known).mul_(-7).add_(50);
    }
    const at::Tensor out = ours(call).narrow(2, 0, known);
    CHECK(ours(other).narrow(2, 0, known).equal(out));
    CHECK_FALSE(ours(other).narrow(2, known, 1).equal(ours(call).narrow(2, known, 1)));
    // Nor does it get a gradient from an earlier one.
    CausalPivotCall leaf = call;
    for (at::Tensor* x : {&leaf.q, &leaf.k, &leaf.v}) *x = x->clone().requires_grad_();
    for (const at::Tensor& gradient :
         torch::autograd::grad({ours(leaf).narrow(2, 0, known).square().sum()}, {leaf.q, leaf.k, leaf.v})) {
      CHECK(largest(gradient.narrow(2, known, kTokens - known)) == 0);
      // A first token has itself alone to look at, so that neither its query nor its key matters.
      CHECK((known == 1 || largest(gradient.narrow(2, 0, known)) > 0));
    }
  }
}

TEST_CASE("causal pivots: a sequence that comes in pieces is the sequence", "[causal]") {
  const CausalPivotCall call = make_call(3);
  const at::Tensor whole = ours(call);
  for (const int64_t piece : {1, 7, 16, 40}) {
    INFO("pieces of " << piece);
    CausalPivotState state;
    std::vector<at::Tensor> outs;
    for (int64_t begin = 0; begin < kTokens; begin += piece) {
      const CausalPivotCall part = tokens_of(call, begin, std::min(piece, kTokens - begin));
      outs.push_back(ops::causal_pivot_attention(part, &state));
    }
    CHECK(largest(at::cat(outs, 2) - whole) < 1e-12);
  }
  // A gradient finds its way back through the state.
  const auto loss = [&](const at::Tensor& first_values) {
    CausalPivotState state;
    CausalPivotCall first = tokens_of(call, 0, 20);
    first.v = first_values;
    ops::causal_pivot_attention(first, &state);
    return ops::causal_pivot_attention(tokens_of(call, 20, kTokens - 20), &state).square().sum();
  };
  const at::Tensor values = call.v.narrow(2, 0, 20).clone().requires_grad_();
  const at::Tensor gradient = torch::autograd::grad({loss(values)}, {values})[0];
  const at::Tensor direction = at::randn(values.sizes(), values.options());
  const at::NoGradGuard no_grad;
  const double step = 1e-5,
               slope = (loss(values + direction * step) - loss(values - direction * step)).item<double>() /
                       (2 * step);
  CHECK(slope == Catch::Approx((gradient * direction).sum().item<double>()).epsilon(1e-7));
}

TEST_CASE("causal pivots: padding leaves results, state and gradients as they are", "[causal]") {
  CausalPivotCall call = make_call();
  const CausalPivotCall plain = tokens_of(call, 0, 20);
  call.lengths = at::tensor({20, 0}, at::kLong);
  for (at::Tensor* x : {&call.q, &call.k, &call.v}) {
    *x = x->clone();
    x->narrow(2, 20, kTokens - 20).fill_(std::numeric_limits<double>::quiet_NaN());
    x->select(0, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  }
  CausalPivotState padded, real;
  const at::Tensor out = ops::causal_pivot_attention(call, &padded);
  const at::Tensor wanted = ops::causal_pivot_attention(plain, &real);
  CHECK(largest((out.narrow(2, 0, 20) - wanted).select(0, 0)) < 1e-13);
  CHECK(largest(out.narrow(2, 20, kTokens - 20)) == 0);
  CHECK(largest(out.select(0, 1)) == 0);
  CHECK(largest((padded.mean - real.mean).select(0, 0)) < 1e-13);
  CHECK(largest((padded.log_mass - real.log_mass).select(0, 0)) < 1e-13);
  CHECK(largest(padded.mean.select(0, 1)) == 0);

  CausalPivotCall leaf = call;
  for (at::Tensor* x : {&leaf.q, &leaf.k, &leaf.v}) *x = x->clone().requires_grad_();
  CausalPivotState state;
  const at::Tensor rows = ops::causal_pivot_attention(leaf, &state);
  for (const at::Tensor& gradient :
       torch::autograd::grad({rows.square().sum() + state.mean.sum() + state.log_mass.select(0, 0).sum()},
                             {leaf.q, leaf.k, leaf.v})) {
    CHECK(largest(gradient.narrow(2, 20, kTokens - 20)) == 0);
    CHECK(largest(gradient.select(0, 1)) == 0);
    CHECK(largest(gradient.select(0, 0).narrow(1, 0, 20)) > 0);
  }
}

TEST_CASE("causal pivots: pieces of narrow numbers and inside autocast are what forward makes of them",
          "[causal]") {
  CausalPivotOptions options;
  options.pivots = kPivots;
  CausalPivotAttentionImpl attention(options, {kHeads, kDim});
  const CausalPivotCall call = make_call();
  const at::NoGradGuard no_grad;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor q = call.q.to(type), k = call.k.to(type), v = call.v.to(type);
    const at::Tensor whole = attention.forward(q, k, v, {});
    for (const bool inside : {false, true}) {
      const ops::AutocastScope autocast(c10::kCPU, inside ? std::optional(at::kBFloat16) : std::nullopt);
      CausalPivotState state;
      CHECK(attention.continue_with(state, q, k, v).equal(whole));
      CHECK(state.mean.scalar_type() == at::kFloat);
    }
  }
}

TEST_CASE("causal pivots: a backward pass inside autocast is that outside", "[causal]") {
  const CausalPivotCall call = make_call();
  const auto gradient = [&](bool inside) {
    const at::Tensor values = call.v.to(at::kFloat).requires_grad_();
    CausalPivotCall leaf = call;
    leaf.v = values;
    for (at::Tensor* x : {&leaf.q, &leaf.k, &leaf.pivots, &leaf.log_masses}) *x = x->to(at::kFloat);
    const at::Tensor loss = ours(leaf).square().sum();
    const ops::AutocastScope autocast(c10::kCPU, inside ? std::optional(at::kBFloat16) : std::nullopt);
    return torch::autograd::grad({loss}, {values})[0];
  };
  CHECK(gradient(true).equal(gradient(false)));
}

TEST_CASE("causal pivots: the last token sees what LOTFormer without pivot marginals shows it", "[causal]") {
  torch::manual_seed(6);
  const AttentionShape shape{kHeads, kDim};
  LotformerOptions options;
  options.pivots = kPivots;
  options.marginals = "none";
  LotformerAttentionImpl free(options, shape);
  CausalPivotOptions causal_options;
  causal_options.pivots = kPivots;
  CausalPivotAttentionImpl causal(causal_options, shape);
  const CausalPivotCall call = make_call();
  const at::NoGradGuard no_grad;
  causal.pivots.copy_(free.pivots);
  const at::Tensor q = call.q.to(at::kFloat), k = call.k.to(at::kFloat), v = call.v.to(at::kFloat);
  const at::Tensor difference = causal.forward(q, k, v, {}) - free.forward(q, k, v, {});
  CHECK(largest(difference.select(2, kTokens - 1)) < 1e-5);
  CHECK(largest(difference.select(2, 0)) > 1e-3);
  CausalPivotState state;
  CHECK(largest(causal.continue_with(state, q, k, v) - causal.forward(q, k, v, {})) == 0);
}
