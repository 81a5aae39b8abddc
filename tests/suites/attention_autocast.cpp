// SPDX-License-Identifier: MIT
// Autocast to bfloat16 around a forward pass changes no bit of a module: AttentionImpl::forward keeps it away
// from the arithmetic.
#include <ATen/ATen.h>

#include "suites/attention_variants.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

AttentionInputs inputs_as(at::ScalarType type) {
  return attention_inputs({2, 2, 64, 16}, type, 11);
}

}  // namespace

TEST_CASE("attention properties: autocast changes no bit of outputs and gradients") {
  const at::Tensor lengths = lengths_of({64, 40});
  for (const Variant& variant : attention_variants()) {
    // float32 is what tells: without its guard a module that multiplies matrices would round them to
    // bfloat16.
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      INFO(variant.name() << ", " << c10::toString(type));
      auto module = make_module(variant, 2, 16, at::kFloat);
      const AttentionInputs x = inputs_as(type);
      const at::Tensor upstream = attention_inputs({2, 2, 64, 16}, type, 12).q;
      const Gradients plain = run_module(*module, x, lengths, upstream);
      const Gradients cast = run_module(*module, x, lengths, upstream, at::kBFloat16);
      CHECK(cast.out.scalar_type() == type);
      for (size_t i = 0; i < 4; ++i) CHECK(identical(cast.tokens()[i], plain.tokens()[i]));
      for (size_t i = 0; i < plain.parameters.size(); ++i)
        CHECK(identical(cast.parameters[i], plain.parameters[i]));
    }
  }
}

TEST_CASE("attention properties: bfloat16 tokens give what float32 gives, rounded once") {
  const at::Tensor lengths = lengths_of({64, 40});
  const AttentionInputs x = inputs_as(at::kBFloat16);
  const AttentionInputs same = {x.q.to(at::kFloat), x.k.to(at::kFloat), x.v.to(at::kFloat)};
  const at::Tensor upstream = attention_inputs({2, 2, 64, 16}, at::kBFloat16, 12).q;
  for (const Variant& variant : attention_variants()) {
    if (!traits_of(variant).float32_arithmetic) continue;
    INFO(variant.name());
    auto module = make_module(variant, 2, 16, at::kFloat);
    const Gradients full = run_module(*module, same, lengths, upstream.to(at::kFloat));
    const Gradients half = run_module(*module, x, lengths, upstream, at::kBFloat16);
    CHECK(identical(half.out, full.out.to(at::kBFloat16)));
    // A token that enters in two places has two gradients, each rounded before they are added.
    CHECK_GRADIENT(half.q, full.q, 0.01);
    CHECK_GRADIENT(half.k, full.k, 0.01);
    CHECK_GRADIENT(half.v, full.v, 0.01);
    for (size_t i = 0; i < full.parameters.size(); ++i)
      CHECK(identical(half.parameters[i], full.parameters[i]));
  }
}

}  // namespace lotformer::test
