// SPDX-License-Identifier: MIT
// What the interface promises of padding, neighbours and order, for every module and its clean variants:
// outputs and gradients.
#include <ATen/ATen.h>

#include <limits>

#include "suites/attention_variants.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

void check_identical(const Gradients& a, const Gradients& b) {
  CHECK(identical(a.out, b.out));
  CHECK(identical(a.q, b.q));
  CHECK(identical(a.k, b.k));
  CHECK(identical(a.v, b.v));
  for (size_t i = 0; i < a.parameters.size(); ++i) CHECK(identical(a.parameters[i], b.parameters[i]));
}

template <class F>
AttentionInputs map_each(const AttentionInputs& x, const F& f) {
  return {f(x.q), f(x.k), f(x.v)};
}

/// `f` of what `wide` says of the tokens, against `narrow`: outputs within `tolerance`, gradients within 100
/// times that.
template <class F>
void check_tokens(const Gradients& wide, const Gradients& narrow, const F& f, double tolerance) {
  CHECK_RELATIVE(f(wide.out), narrow.out, tolerance);
  CHECK_GRADIENT(f(wide.q), narrow.q, 100 * tolerance);
  CHECK_GRADIENT(f(wide.k), narrow.k, 100 * tolerance);
  CHECK_GRADIENT(f(wide.v), narrow.v, 100 * tolerance);
}

void check_parameters(const Gradients& a, const Gradients& b, double tolerance) {
  for (size_t i = 0; i < a.parameters.size(); ++i)
    CHECK_GRADIENT(a.parameters[i], b.parameters[i], 100 * tolerance);
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
  for (const Variant& variant : attention_variants()) {
    for (const at::ScalarType type : kTypes) {
      INFO(variant.name() << ", " << c10::toString(type));
      auto module = make_module(variant, 2, 8, type);
      const AttentionInputs x = attention_inputs({4, 2, 13, 8}, type, 1);
      const at::Tensor upstream = attention_inputs({4, 2, 13, 8}, type, 2).q;
      const Gradients clean = run_module(*module, x, lengths, upstream);
      for (const double value :
           {0.0, -1e30, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        INFO("padding " << value);
        const auto pad = [&](const at::Tensor& t) { return with_padding(t, lengths, value); };
        check_identical(run_module(*module, map_each(x, pad), lengths, pad(upstream)), clean);
      }
      for (const at::Tensor& t : clean.tokens()) {
        CHECK(same_bits(
            t, with_padding(t, lengths, 0)));  // zero rows and zero gradients at padding, of either sign
        CHECK(t.isfinite().all().item<bool>());
      }
      for (const at::Tensor& t : clean.parameters) CHECK(t.isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("attention properties: the amount of padding changes nothing beyond rounding") {
  const std::vector<int64_t> real = {11, 7, 1};
  for (const Variant& variant : attention_variants()) {
    if (variant.random) continue;  // other sizes draw other numbers
    for (const at::ScalarType type : kTypes) {
      INFO(variant.name() << ", " << c10::toString(type));
      const double tolerance = type == at::kDouble ? 1e-12 : 2e-5;
      auto module = make_module(variant, 2, 8, type);
      const AttentionInputs x = attention_inputs({3, 2, 29, 8}, type, 3);
      const at::Tensor upstream = attention_inputs({3, 2, 29, 8}, type, 4).q;
      const Gradients wide = run_module(*module, x, lengths_of(real), upstream);
      const auto cut = [](const at::Tensor& t) { return t.narrow(2, 0, 11); };
      const Gradients narrow = run_module(*module, map_each(x, cut), lengths_of(real), cut(upstream));
      check_tokens(wide, narrow, cut, tolerance);
      check_parameters(wide, narrow, tolerance);
      // Each sequence alone, without any padding and without lengths.
      for (int64_t b = 0; b < 3; ++b) {
        const auto alone = [&](const at::Tensor& t) { return t.narrow(0, b, 1).narrow(2, 0, real[b]); };
        check_tokens(wide, run_module(*module, map_each(x, alone), {}, alone(upstream)), alone, tolerance);
      }
    }
  }
}

TEST_CASE("attention properties: a sequence does not see the rest of its batch") {
  const at::Tensor lengths = lengths_of({17, 9, 17, 3});
  // A neighbour with large scores: its problem needs more passes than all the others.
  const auto louder = [](const at::Tensor& t) {
    at::Tensor copy = t.clone();
    copy[2] *= 20;
    return copy;
  };
  for (const Variant& variant : attention_variants()) {
    for (const at::ScalarType type : kTypes) {
      INFO(variant.name() << ", " << c10::toString(type));
      auto module = make_module(variant, 2, 8, type);
      const AttentionInputs x = attention_inputs({4, 2, 17, 8}, type, 5);
      const at::Tensor upstream = attention_inputs({4, 2, 17, 8}, type, 6).q;
      const Gradients plain = run_module(*module, x, lengths, upstream);
      const Gradients beside = run_module(*module, map_each(x, louder), lengths, upstream);
      for (const int64_t b : {0, 1, 3}) {
        const Gradients expected = {plain.out[b], plain.q[b], plain.k[b], plain.v[b], {}};
        check_tokens(
            beside, expected, [&](const at::Tensor& t) { return t[b]; }, type == at::kDouble ? 1e-13 : 1e-6);
      }
    }
  }
}

TEST_CASE(
    "attention properties: permuting tokens permutes outputs and gradients, unless their place matters") {
  const at::Tensor lengths = lengths_of({21, 21});
  const at::Tensor order = at::randperm(21, at::detail::createCPUGenerator(3), at::kLong);
  const auto permute = [&](const at::Tensor& t) { return t.index_select(2, order); };
  for (const Variant& variant : attention_variants()) {
    if (variant.random) continue;  // other tokens are drawn
    for (const at::ScalarType type : kTypes) {
      INFO(variant.name() << ", " << c10::toString(type));
      const double tolerance = type == at::kDouble ? 1e-12 : 1e-5;
      auto module = make_module(variant, 2, 8, type);
      const AttentionInputs x = attention_inputs({2, 2, 21, 8}, type, 6);
      const at::Tensor upstream = attention_inputs({2, 2, 21, 8}, type, 7).q;
      const Gradients plain = run_module(*module, x, lengths, upstream);
      const Gradients moved = run_module(*module, map_each(x, permute), lengths, permute(upstream));
      if (!traits_of(variant).permutation_equivariant) {
        CHECK(relative_difference(permute(plain.out), moved.out, tolerance) != "");
        continue;
      }
      check_tokens(plain, moved, permute, tolerance);
      check_parameters(plain, moved, tolerance);
    }
  }
}

TEST_CASE("attention properties: sums of rows and columns are those of the traits") {
  const at::Tensor lengths = lengths_of({37, 20, 1, 0});
  const at::Tensor real =
      at::arange(37).unsqueeze(0).lt(lengths.unsqueeze(1)).unsqueeze(1).expand({4, 2, 37}).to(at::kDouble);
  for (const Variant& variant : attention_variants()) {
    if (variant.random) continue;  // another map in every call
    const AttentionTraits traits = traits_of(variant);
    for (const at::ScalarType type : kTypes) {
      for (const bool training : {false, true}) {
        INFO(variant.name() << ", " << c10::toString(type) << ", training " << training);
        auto module = make_module(variant, 2, 8, type);
        module->train(training);
        const AttentionInputs x = attention_inputs({4, 2, 37, 8}, type, 7);
        const at::Tensor map = dense_map(*module, x.q, x.k, lengths).to(at::kDouble);
        if (traits.row_stochastic || traits.doubly_stochastic)
          CHECK_NEAR(map.sum(3), real, traits.marginal_tolerance);
        if (traits.doubly_stochastic) CHECK_NEAR(map.sum(2), real, traits.marginal_tolerance);
        // The map is what the module applies: linear in V.
        CHECK_RELATIVE(module->forward(x.q, x.k, x.v, lengths),
                       at::matmul(map, with_padding(x.v, lengths, 0).to(at::kDouble)), 1e-5);
      }
    }
  }
}

}  // namespace lotformer::test
