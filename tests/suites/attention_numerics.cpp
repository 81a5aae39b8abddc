// SPDX-License-Identifier: MIT
// Sizes, strides, derivatives and precision, for every module and its clean variants.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "lotformer/ops/autocast.h"
#include "suites/attention_variants.h"
#include "support/catch.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

bool row_stochastic(const Variant& variant) {
  return traits_of(variant).row_stochastic;
}

}  // namespace

TEST_CASE("attention properties: small and odd sizes") {
  const std::vector<std::vector<int64_t>> shapes = {
      {1, 1, 1, 1}, {1, 1, 7, 3}, {1, 1, 1, 32}, {3, 5, 2, 7}, {2, 1, 131, 33}, {0, 2, 5, 4}, {2, 2, 0, 4}};
  for (const Variant& variant : attention_variants()) {
    for (const auto& shape : shapes) {
      INFO(variant.name() << ", shape " << at::IntArrayRef(shape));
      auto module = make_module(variant, shape[1], shape[3], at::kFloat);
      const AttentionInputs x = attention_inputs(shape, at::kFloat, 8);
      const Gradients found = run_module(*module, x, {}, attention_inputs(shape, at::kFloat, 9).q);
      for (const at::Tensor& t : found.tokens()) {
        CHECK(t.sizes() == x.q.sizes());
        CHECK(t.isfinite().all().item<bool>());
      }
      if (shape[2] == 1 && row_stochastic(variant))
        CHECK_RELATIVE(found.out, x.v, 1e-6);  // one token attends to itself
    }
  }
}

TEST_CASE("attention properties: heads of one packed projection, as the encoder hands them over") {
  const at::Tensor lengths = lengths_of({19, 4, 11});
  at::Generator generator = at::detail::createCPUGenerator(12);
  const at::Tensor values = at::randn({3, 19, 3, 2, 8}, generator, at::kFloat);  // [B, N, 3, H, D]
  const at::Tensor upstream = at::randn({3, 19, 2, 8}, generator, at::kFloat).transpose(1, 2);
  const auto view = [](const at::Tensor& packed, int64_t i) { return packed.select(2, i).transpose(1, 2); };
  for (const Variant& variant : attention_variants()) {
    INFO(variant.name());
    auto module = make_module(variant, 2, 8, at::kFloat);
    const AttentionInputs dense = {view(values, 0).contiguous(), view(values, 1).contiguous(),
                                   view(values, 2).contiguous()};
    const Gradients expected = run_module(*module, dense, lengths, upstream.contiguous());
    const at::Tensor packed = values.clone().requires_grad_();
    module->zero_grad();
    at::manual_seed(37);
    const at::Tensor out = module->forward(view(packed, 0), view(packed, 1), view(packed, 2), lengths);
    CHECK(identical(out, expected.out));
    if (!out.requires_grad()) continue;
    out.backward(upstream);
    const at::Tensor gradient = packed.grad().defined() ? packed.grad() : at::zeros_like(values);
    CHECK_GRADIENT(view(gradient, 0), expected.q, 1e-6);
    CHECK_GRADIENT(view(gradient, 1), expected.k, 1e-6);
    CHECK_GRADIENT(view(gradient, 2), expected.v, 1e-6);
    for (size_t i = 0; i < expected.parameters.size(); ++i)
      CHECK_GRADIENT(module->parameters()[i].grad(), expected.parameters[i], 1e-6);
  }
}

TEST_CASE("attention properties: finite differences in float64") {
  at::manual_seed(29);
  const at::Tensor lengths = lengths_of({8, 5, 1});
  const AttentionInputs x = attention_inputs({3, 2, 8, 4}, at::kDouble, 9);
  const at::Tensor weight = attention_inputs({3, 2, 8, 4}, at::kDouble, 10).q;
  for (const Variant& variant : attention_variants()) {
    if (variant.random) continue;  // its own test holds the gradient of one draw
    INFO(variant.name());
    auto module = make_module(variant, 2, 4, at::kDouble);
    const double error = gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          return (module->forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
        },
        {x.q, x.k, x.v}, variant.smooth ? 1e-3 : 1e-6);
    // Solved to the tolerance of evaluation; tests/attention holds the tight ones.
    CHECK(error < variant.fd_tolerance);
  }
}

TEST_CASE("attention properties: repeatable, finite at large scores") {
  const at::Tensor lengths = lengths_of({64, 40});
  for (const Variant& variant : attention_variants()) {
    INFO(variant.name());
    auto module = make_module(variant, 2, 16, at::kFloat);
    const AttentionInputs x = attention_inputs({2, 2, 64, 16}, at::kFloat, 11);
    const at::Tensor upstream = attention_inputs({2, 2, 64, 16}, at::kFloat, 12).q;
    const Gradients once = run_module(*module, x, lengths, upstream);
    const Gradients again = run_module(*module, x, lengths, upstream);
    for (size_t i = 0; i < 4; ++i) CHECK(identical(once.tokens()[i], again.tokens()[i]));
    for (size_t i = 0; i < once.parameters.size(); ++i)
      CHECK(identical(once.parameters[i], again.parameters[i]));
    for (const double scale : {30.0, 1000.0}) {
      const Gradients large =
          run_module(*module, attention_inputs({2, 2, 64, 16}, at::kFloat, 11, scale), lengths, upstream);
      for (const at::Tensor& t : large.tokens()) CHECK(t.isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("attention properties: close under autocast to bfloat16, gradients too") {
  const at::Tensor lengths = lengths_of({64, 40});
  const AttentionInputs x = attention_inputs({2, 2, 64, 16}, at::kBFloat16, 11);
  const at::Tensor upstream = attention_inputs({2, 2, 64, 16}, at::kBFloat16, 12).q;
  for (const Variant& variant : attention_variants()) {
    INFO(variant.name());
    auto module = make_module(variant, 2, 16, at::kFloat);
    // The same rounded numbers, so that what differs is the module's own arithmetic.
    const Gradients full = run_module(*module, {x.q.to(at::kFloat), x.k.to(at::kFloat), x.v.to(at::kFloat)},
                                      lengths, upstream.to(at::kFloat));
    const Gradients half = [&] {
      const ops::AutocastScope autocast(c10::DeviceType::CPU, at::kBFloat16);
      return run_module(*module, x, lengths, upstream);
    }();
    CHECK(half.out.scalar_type() == at::kBFloat16);
    CHECK_RELATIVE(half.out, full.out, 0.05);
    CHECK_GRADIENT(half.q, full.q, 0.05);
    CHECK_GRADIENT(half.k, full.k, 0.05);
    CHECK_GRADIENT(half.v, full.v, 0.05);
    for (size_t i = 0; i < full.parameters.size(); ++i)
      CHECK_GRADIENT(half.parameters[i], full.parameters[i], 0.05);
  }
}

TEST_CASE("attention properties: dropout on softmax weights keeps what the interface promises") {
  const at::Tensor lengths = lengths_of({13, 5, 0, 1});
  auto module = find_attention("softmax").build(*find_attention("softmax").options(),
                                                {.heads = 2, .head_dim = 8, .dropout = 0.3});
  module->train();
  const AttentionInputs x = attention_inputs({4, 2, 13, 8}, at::kFloat, 1);
  const at::Tensor upstream = attention_inputs({4, 2, 13, 8}, at::kFloat, 2).q;
  const at::Tensor padded = at::arange(13).unsqueeze(0).ge(lengths.unsqueeze(1)).unsqueeze(1).unsqueeze(-1);
  const auto spoilt = [&](const at::Tensor& t) { return t.masked_fill(padded, std::nan("")); };
  const Gradients clean = run_module(*module, x, lengths, upstream);
  const Gradients dirty =
      run_module(*module, {spoilt(x.q), spoilt(x.k), spoilt(x.v)}, lengths, spoilt(upstream));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(identical(clean.tokens()[i], dirty.tokens()[i]));
    CHECK(same_bits(clean.tokens()[i], clean.tokens()[i].masked_fill(padded, 0)));
  }
}

}  // namespace lotformer::test
