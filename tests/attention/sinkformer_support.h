// SPDX-License-Identifier: MIT
// Runs of the Sinkhorn operator and comparisons of them.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "lotformer/ops/sinkhorn_attention.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer::test {

/// What a test compares: output and gradients of sum(out * upstream).
struct Run {
  at::Tensor out, q, k, v;
};

template <class Forward>
inline Run run(const AttentionInputs& x, const at::Tensor& upstream, Forward forward) {
  const at::Tensor q = x.q.detach().clone().requires_grad_(), k = x.k.detach().clone().requires_grad_(),
                   v = x.v.detach().clone().requires_grad_();
  const at::Tensor out = forward(q, k, v);
  out.backward(upstream);
  return {out.detach(), q.grad(), k.grad(), v.grad()};
}

inline Run run(const AttentionInputs& x, const at::Tensor& upstream, const at::Tensor& lengths,
               const ops::SinkhornOptions& options, ops::SinkhornStats* stats = nullptr) {
  return run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return ops::sinkhorn_attention(q, k, v, lengths, options, stats);
  });
}

inline void check_close(const Run& actual, const Run& expected, double tolerance) {
  CHECK_RELATIVE(actual.out, expected.out, tolerance);
  CHECK_RELATIVE(actual.q, expected.q, tolerance);
  CHECK_RELATIVE(actual.k, expected.k, tolerance);
  CHECK_RELATIVE(actual.v, expected.v, tolerance);
}

inline ops::SinkhornOptions truncated(int64_t half_iterations, double epsilon = 1) {
  ops::SinkhornOptions options;
  options.half_iterations = half_iterations;
  options.epsilon = epsilon;
  return options;
}

inline ops::SinkhornOptions converged(double tolerance, ops::SinkhornGradient gradient, int64_t most = 3000) {
  ops::SinkhornOptions options;
  options.until_converged = true;
  options.tolerance = tolerance;
  options.max_half_iterations = most;
  options.gradient = gradient;
  return options;
}

}  // namespace lotformer::test
