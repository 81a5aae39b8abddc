// SPDX-License-Identifier: MIT
// Shared by the tests of ESPFormer. Include before support/catch.h.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "lotformer/attention/espformer.h"
#include "support/attention_inputs.h"

namespace lotformer::test {

struct Results {
  at::Tensor out, q, k, v, directions;
};

/// One forward and backward; gradients of q, k, v and of `directions` when it is defined.
template <class Forward>
Results differentiate(const AttentionInputs& in, const at::Tensor& upstream, const at::Tensor& directions,
                      const Forward& forward) {
  AttentionInputs leaves{in.q.detach().clone().requires_grad_(), in.k.detach().clone().requires_grad_(),
                         in.v.detach().clone().requires_grad_()};
  at::Tensor parameter = directions;
  if (directions.defined()) parameter.mutable_grad() = at::Tensor();
  Results results;
  results.out = forward(leaves);
  results.out.backward(upstream);
  results.q = leaves.q.grad();
  results.k = leaves.k.grad();
  results.v = leaves.v.grad();
  if (directions.defined()) results.directions = parameter.grad().clone();
  return results;
}

inline EspformerAttentionImpl make_espformer(const std::function<void(EspformerOptions&)>& change,
                                             int64_t heads, int64_t head_dim) {
  EspformerOptions options;
  change(options);
  return {options, {.heads = heads, .head_dim = head_dim}};
}

}  // namespace lotformer::test
