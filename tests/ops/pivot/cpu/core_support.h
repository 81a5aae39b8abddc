// SPDX-License-Identifier: MIT
// Problems for the tests of the CPU core, and one call with its gradients.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <functional>
#include <string>
#include <vector>

#include "ops/pivot/cpu/core.h"
#include "support/pivot_call.h"

namespace lotformer::test {

/// Uses one instruction set while alive.
class CoreScope {
 public:
  explicit CoreScope(const ops::pivot::cpu::Core* core) { ops::pivot::cpu::use_core(core); }
  ~CoreScope() { ops::pivot::cpu::use_core(nullptr); }
};

/// Those that this machine has.
inline std::vector<const ops::pivot::cpu::Core*> cores() {
  std::vector<const ops::pivot::cpu::Core*> found;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    if (const ops::pivot::cpu::Core* core = ops::pivot::cpu::find_core(name)) found.push_back(core);
  }
  return found;
}

struct PivotCase {
  at::Tensor q, k, v, pivots, mass_logits, upstream, lengths;
  double epsilon = 0.5;
  at::Tensor query_logits = {}, key_logits = {};  // of the tokens' masses [B, H, N], undefined: uniform
};

/// q, k, v as views of one packed projection, as a layer hands them over.
inline PivotCase pivot_case(int64_t batch, int64_t heads, int64_t tokens, int64_t dim, int64_t r,
                            at::ScalarType type, uint64_t seed = 1, double score_std = 1) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::randn(shape, generator, at::kDouble).to(type);
  };
  const at::Tensor packed = normal({batch, tokens, 3, heads, dim});
  const auto part = [&](int64_t i) { return packed.select(2, i).transpose(1, 2); };
  return {part(0),
          part(1),
          part(2),
          normal({heads, r, dim}) * score_std,
          normal({heads, r}) * 0.7,
          normal({batch, heads, tokens, dim}),
          {}};
}

inline PivotCase as_type(PivotCase x, at::ScalarType type) {
  for (at::Tensor* t :
       {&x.q, &x.k, &x.v, &x.pivots, &x.mass_logits, &x.upstream, &x.query_logits, &x.key_logits}) {
    if (t->defined()) *t = t->to(type);
  }
  return x;
}

struct PivotResult {
  std::vector<at::Tensor> tensors;  // out and the gradients of the leaves (zeros where undefined)
  ops::PivotSolveStats stats;
};

/// Leaves q, k, v, pivots, mass logits, and those of the logits of token masses that the case has, queries
/// first -> output.
using PivotRun = std::function<at::Tensor(const std::vector<at::Tensor>&, ops::PivotSolveStats*)>;

inline PivotResult run_pivot(const PivotCase& x, const PivotRun& call) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& t : {x.q, x.k, x.v, x.pivots, x.mass_logits, x.query_logits, x.key_logits}) {
    if (t.defined()) leaves.push_back(t.detach().clone().requires_grad_());
  }
  PivotResult result;
  const at::Tensor out = call(leaves, &result.stats);
  out.backward(x.upstream);
  result.tensors.push_back(out.detach());
  for (const at::Tensor& leaf : leaves)
    result.tensors.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf.detach()));
  return result;
}

/// Masses from the leaves: a softmax over the real tokens, zero at padding and in empty sequences.
inline ops::TokenMasses masses_of_leaves(const PivotCase& x, const std::vector<at::Tensor>& leaves) {
  const auto masses = [&](const at::Tensor& logits) {
    if (!x.lengths.defined()) return at::softmax(logits, -1);
    const at::Tensor padding =
        at::arange(logits.size(2)).unsqueeze(0).ge(x.lengths.unsqueeze(1)).unsqueeze(1);
    return at::softmax(logits.masked_fill(padding, -1e30), -1).masked_fill(padding, 0);
  };
  size_t next = 5;
  ops::TokenMasses both;
  if (x.query_logits.defined()) both.query = masses(leaves.at(next++));
  if (x.key_logits.defined()) both.key = masses(leaves.at(next++));
  return both;
}

inline PivotRun exact_run(const PivotCase& x, const ops::PivotSolverOptions& options, ops::PivotCore core) {
  return [&x, options, core](const std::vector<at::Tensor>& l, ops::PivotSolveStats* stats) {
    const ops::PivotCall call =
        exact_call(l[0], l[1], l[2], l[3], at::softmax(l[4], -1), x.lengths, x.epsilon, options, core);
    return ops::pivot_attention(with_token_masses(call, masses_of_leaves(x, l)), stats);
  };
}

inline PivotRun truncated_run(const PivotCase& x, int64_t half_iterations, bool reference,
                              ops::PivotCore core) {
  return [&x, half_iterations, reference, core](const std::vector<at::Tensor>& l, ops::PivotSolveStats*) {
    return ops::pivot_attention(reference
                                    ? reference_call(l[0], l[1], l[2], l[3], x.epsilon, half_iterations, core)
                                    : truncated_call(l[0], l[1], l[2], l[3], at::log_softmax(l[4], -1),
                                                     x.lengths, x.epsilon, half_iterations, core));
  };
}

inline PivotRun core_exact(const PivotCase& x, const ops::PivotSolverOptions& options) {
  return exact_run(x, options, ops::PivotCore::cpu);
}
inline PivotRun aten_exact(const PivotCase& x, const ops::PivotSolverOptions& options) {
  return exact_run(x, options, ops::PivotCore::aten);
}
inline PivotRun core_truncated(const PivotCase& x, int64_t half_iterations, bool reference) {
  return truncated_run(x, half_iterations, reference, ops::PivotCore::cpu);
}
inline PivotRun aten_truncated(const PivotCase& x, int64_t half_iterations, bool reference) {
  return truncated_run(x, half_iterations, reference, ops::PivotCore::aten);
}

}  // namespace lotformer::test
