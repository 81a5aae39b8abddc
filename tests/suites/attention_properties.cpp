// SPDX-License-Identifier: MIT
// What the interface promises, for every module of the table with its default options (small pivots excepted:
// scores of size one).
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "lotformer/attention/attention.h"
#include "lotformer/ops/autocast.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

/// A module with its default options in evaluation mode, every parameter standard normal so that the scores
/// matter.
std::shared_ptr<AttentionImpl> make_module(const AttentionSpec& spec, int64_t heads, int64_t head_dim,
                                           at::ScalarType type) {
  auto module = spec.build(*spec.options(), {.heads = heads, .head_dim = head_dim});
  at::Generator generator = at::detail::createCPUGenerator(23);
  for (at::Tensor& parameter : module->parameters()) {
    parameter.set_data(at::randn(parameter.sizes(), generator, at::kDouble) * 0.3);
  }
  module->to(type);
  module->eval();
  return module;
}

struct Gradients {
  at::Tensor out, q, k, v;
  std::vector<at::Tensor> parameters;
};

Gradients run(AttentionImpl& module, const AttentionInputs& x, const at::Tensor& lengths,
              const at::Tensor& upstream) {
  const at::Tensor q = x.q.detach().clone().requires_grad_(), k = x.k.detach().clone().requires_grad_(),
                   v = x.v.detach().clone().requires_grad_();
  module.zero_grad();
  Gradients result;
  result.out = module.forward(q, k, v, lengths);
  if (result.out.requires_grad()) result.out.backward(upstream);
  // A module that does not look at an input leaves its gradient undefined: that is zero.
  const auto gradient = [](const at::Tensor& leaf) {
    return leaf.grad().defined() ? leaf.grad().clone() : at::zeros_like(leaf.detach());
  };
  result.q = gradient(q);
  result.k = gradient(k);
  result.v = gradient(v);
  for (const at::Tensor& parameter : module.parameters()) result.parameters.push_back(gradient(parameter));
  return result;
}

void check_same_bits(const Gradients& a, const Gradients& b) {
  CHECK(same_bits(a.out, b.out));
  CHECK(same_bits(a.q, b.q));
  CHECK(same_bits(a.k, b.k));
  CHECK(same_bits(a.v, b.v));
  for (size_t i = 0; i < a.parameters.size(); ++i) CHECK(same_bits(a.parameters[i], b.parameters[i]));
}

AttentionInputs map_each(const AttentionInputs& x, const std::function<at::Tensor(const at::Tensor&)>& f) {
  return {f(x.q), f(x.k), f(x.v)};
}

/// `x` [B, H, N, D] with `value` at the padded tokens.
at::Tensor with_padding(const at::Tensor& x, const at::Tensor& lengths, double value) {
  const at::Tensor padded = at::arange(x.size(2)).unsqueeze(0).ge(lengths.unsqueeze(1));
  return x.masked_fill(padded.unsqueeze(1).unsqueeze(-1), value);
}

const std::vector<at::ScalarType> kTypes = {at::kDouble, at::kFloat};

}  // namespace

TEST_CASE("attention properties: what stands in padding changes nothing, bit for bit") {
  const at::Tensor lengths = lengths_of({13, 5, 0, 1});
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::ScalarType type : kTypes) {
      INFO(spec.kind << ", " << c10::toString(type));
      auto module = make_module(spec, 2, 8, type);
      const AttentionInputs x = attention_inputs({4, 2, 13, 8}, type, 1);
      const at::Tensor upstream = attention_inputs({4, 2, 13, 8}, type, 2).q;
      const Gradients clean = run(*module, x, lengths, upstream);
      for (const double value :
           {0.0, -1e30, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        INFO("padding " << value);
        const auto pad = [&](const at::Tensor& t) { return with_padding(t, lengths, value); };
        check_same_bits(run(*module, map_each(x, pad), lengths, pad(upstream)), clean);
      }
      for (const at::Tensor& t : {clean.out, clean.q, clean.k, clean.v}) {
        CHECK(same_bits(t, with_padding(t, lengths, 0)));  // zero rows and zero gradients at padding
        CHECK(t.isfinite().all().item<bool>());
      }
      for (const at::Tensor& t : clean.parameters) CHECK(t.isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("attention properties: the amount of padding changes nothing beyond rounding") {
  const std::vector<int64_t> real = {11, 7, 1};
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::ScalarType type : kTypes) {
      INFO(spec.kind << ", " << c10::toString(type));
      const double tolerance = type == at::kDouble ? 1e-12 : 2e-5;
      auto module = make_module(spec, 2, 8, type);
      const AttentionInputs x = attention_inputs({3, 2, 29, 8}, type, 3);
      const at::Tensor upstream = attention_inputs({3, 2, 29, 8}, type, 4).q;
      const Gradients wide = run(*module, x, lengths_of(real), upstream);
      const auto cut = [](const at::Tensor& t) { return t.narrow(2, 0, 11); };
      const Gradients narrow = run(*module, map_each(x, cut), lengths_of(real), cut(upstream));
      CHECK_RELATIVE(cut(wide.out), narrow.out, tolerance);
      CHECK_RELATIVE(cut(wide.q), narrow.q, 100 * tolerance);
      CHECK_RELATIVE(cut(wide.k), narrow.k, 100 * tolerance);
      CHECK_RELATIVE(cut(wide.v), narrow.v, 100 * tolerance);
      for (size_t i = 0; i < wide.parameters.size(); ++i) {
        CHECK_RELATIVE(wide.parameters[i], narrow.parameters[i], 100 * tolerance);
      }
      // Each sequence alone, without any padding and without lengths.
      for (int64_t b = 0; b < 3; ++b) {
        const auto alone = [&](const at::Tensor& t) { return t.narrow(0, b, 1).narrow(2, 0, real[b]); };
        CHECK_RELATIVE(alone(wide.out), module->forward(alone(x.q), alone(x.k), alone(x.v), {}), tolerance);
      }
    }
  }
}

TEST_CASE("attention properties: a sequence does not see the rest of its batch") {
  const at::Tensor lengths = lengths_of({17, 9, 17, 3});
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::ScalarType type : kTypes) {
      INFO(spec.kind << ", " << c10::toString(type));
      auto module = make_module(spec, 2, 8, type);
      const AttentionInputs x = attention_inputs({4, 2, 17, 8}, type, 5);
      // A neighbour with large scores: its problem needs more passes than all the others.
      const auto louder = [](const at::Tensor& t) {
        at::Tensor copy = t.clone();
        copy[2] *= 20;
        return copy;
      };
      const at::Tensor plain = module->forward(x.q, x.k, x.v, lengths);
      const AttentionInputs loud = map_each(x, louder);
      const at::Tensor beside = module->forward(loud.q, loud.k, loud.v, lengths);
      for (const int64_t b : {0, 1, 3})
        CHECK_RELATIVE(beside[b], plain[b], type == at::kDouble ? 1e-13 : 1e-6);
    }
  }
}

TEST_CASE("attention properties: permuting tokens permutes outputs") {
  const at::Tensor lengths = lengths_of({21, 21});
  const at::Tensor order = at::randperm(21, at::kLong);
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::ScalarType type : kTypes) {
      INFO(spec.kind << ", " << c10::toString(type));
      auto module = make_module(spec, 2, 8, type);
      const AttentionInputs x = attention_inputs({2, 2, 21, 8}, type, 6);
      const auto permute = [&](const at::Tensor& t) { return t.index_select(2, order); };
      const AttentionInputs moved = map_each(x, permute);
      CHECK_RELATIVE(module->forward(moved.q, moved.k, moved.v, lengths),
                     permute(module->forward(x.q, x.k, x.v, lengths)), type == at::kDouble ? 1e-12 : 1e-5);
    }
  }
}

TEST_CASE("attention properties: sums of rows and columns are those of the traits") {
  const at::Tensor lengths = lengths_of({37, 20, 1, 0});
  const at::Tensor real =
      at::arange(37).unsqueeze(0).lt(lengths.unsqueeze(1)).unsqueeze(1).expand({4, 2, 37}).to(at::kDouble);
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::ScalarType type : kTypes) {
      for (const bool training : {false, true}) {
        INFO(spec.kind << ", " << c10::toString(type) << ", training " << training);
        auto module = make_module(spec, 2, 8, type);
        module->train(training);
        const AttentionInputs x = attention_inputs({4, 2, 37, 8}, type, 7);
        const at::Tensor map = dense_map(*module, x.q, x.k, lengths).to(at::kDouble);
        if (spec.traits.row_stochastic || spec.traits.doubly_stochastic)
          CHECK_NEAR(map.sum(3), real, spec.traits.marginal_tolerance);
        if (spec.traits.doubly_stochastic) CHECK_NEAR(map.sum(2), real, spec.traits.marginal_tolerance);
        // The map is what the module applies: linear in V.
        CHECK_RELATIVE(module->forward(x.q, x.k, x.v, lengths),
                       at::matmul(map, with_padding(x.v, lengths, 0).to(at::kDouble)), 1e-5);
      }
    }
  }
}

TEST_CASE("attention properties: small and odd sizes, strided inputs") {
  for (const AttentionSpec& spec : attention_specs()) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{1, 1, 1, 1},
                                                               {1, 1, 7, 3},
                                                               {1, 1, 1, 32},
                                                               {3, 5, 2, 7},
                                                               {2, 1, 131, 33},
                                                               {0, 2, 5, 4},
                                                               {2, 2, 0, 4}}) {
      INFO(spec.kind << ", shape " << at::IntArrayRef(shape));
      auto module = make_module(spec, shape[1], shape[3], at::kFloat);
      const AttentionInputs x = attention_inputs(shape, at::kFloat, 8);
      const at::Tensor out = module->forward(x.q, x.k, x.v, {});
      CHECK(out.sizes() == x.q.sizes());
      CHECK(out.isfinite().all().item<bool>());
      if (shape[2] == 1 && spec.traits.row_stochastic)
        CHECK_RELATIVE(out, x.v, 1e-6);  // one token attends to itself
    }
    // Heads of one packed projection, as the encoder hands them over: [B, N, 3, H, D] seen as [B, H, N, D].
    auto module = make_module(spec, 2, 8, at::kFloat);
    const at::Tensor packed = at::randn({3, 19, 3, 2, 8});
    const auto view = [&](int64_t i) { return packed.select(2, i).transpose(1, 2); };
    const at::Tensor lengths = lengths_of({19, 4, 11});
    CHECK(same_bits(
        module->forward(view(0), view(1), view(2), lengths),
        module->forward(view(0).contiguous(), view(1).contiguous(), view(2).contiguous(), lengths)));
  }
}

TEST_CASE("attention properties: finite differences in float64") {
  at::manual_seed(29);
  const at::Tensor lengths = lengths_of({8, 5, 1});
  const AttentionInputs x = attention_inputs({3, 2, 8, 4}, at::kDouble, 9);
  const at::Tensor weight = attention_inputs({3, 2, 8, 4}, at::kDouble, 10).q;
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    auto module = make_module(spec, 2, 4, at::kDouble);
    const double error = gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          return (module->forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
        },
        {x.q, x.k, x.v}, 1e-3);
    CHECK(error < 1e-4);  // default options: solved to the tolerance of evaluation; tests/attention holds the
                          // tight ones
  }
}

TEST_CASE("attention properties: repeatable, finite at large scores, close under autocast") {
  const at::Tensor lengths = lengths_of({64, 40});
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    auto module = make_module(spec, 2, 16, at::kFloat);
    const AttentionInputs x = attention_inputs({2, 2, 64, 16}, at::kFloat, 11);
    const at::Tensor upstream = attention_inputs({2, 2, 64, 16}, at::kFloat, 12).q;
    if (spec.traits.deterministic) {
      check_same_bits(run(*module, x, lengths, upstream), run(*module, x, lengths, upstream));
    }
    for (const double scale : {30.0, 1000.0}) {
      const Gradients large =
          run(*module, attention_inputs({2, 2, 64, 16}, at::kFloat, 11, scale), lengths, upstream);
      for (const at::Tensor& t : {large.out, large.q, large.k, large.v})
        CHECK(t.isfinite().all().item<bool>());
    }
    const at::Tensor full = module->forward(x.q, x.k, x.v, lengths);
    const AttentionInputs half = map_each(x, [](const at::Tensor& t) { return t.to(at::kBFloat16); });
    const ops::AutocastScope autocast(c10::DeviceType::CPU, at::kBFloat16);
    const at::Tensor out = module->forward(half.q, half.k, half.v, lengths);
    CHECK(out.scalar_type() == at::kBFloat16);
    CHECK_RELATIVE(out, full, 0.05);
  }
}

}  // namespace lotformer::test
