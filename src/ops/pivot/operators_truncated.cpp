// SPDX-License-Identifier: MIT
// lotformer::pivot_truncated: T half-iterations a side, truncated or with the published arithmetic. As in
// operators_exact.cpp, registration and calling function stand in one file.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>

#include "call.h"
#include "operators.h"
#include "ops/pivot/cpu/bind.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Outputs = std::tuple<at::Tensor, at::Tensor>;
using InputGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Signature = Outputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& pivots, const at::Tensor& log_sigma, const Optional& lengths,
                          double epsilon, int64_t half_iterations, bool reference);
using BackwardSignature = InputGradients(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& v, const at::Tensor& pivots,
                                         const at::Tensor& log_sigma, const Optional& lengths, double epsilon,
                                         int64_t half_iterations, bool reference, const at::Tensor& state);

const c10::TypedOperatorHandle<Signature>& truncated_operator() {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("lotformer::pivot_truncated", "").typed<Signature>();
  return handle;
}
const c10::TypedOperatorHandle<BackwardSignature>& truncated_backward_operator() {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("lotformer::pivot_truncated_backward", "")
                                 .typed<BackwardSignature>();
  return handle;
}

/// Numbers in the state of the CPU core: trajectory, summary.
c10::SymInt state_size(const at::Tensor& q, const at::Tensor& pivots, int64_t half_iterations) {
  return q.sym_size(0) * q.sym_size(1) * pivots.sym_size(1) *
         (4 * trajectory_rows(half_iterations) + q.sym_size(3));
}

TruncatedRun run_of(const at::Tensor& state, const at::Tensor& q, const at::Tensor& pivots,
                    int64_t half_iterations, bool reference) {
  const int64_t rows = q.size(0) * q.size(1) * pivots.size(1),
                trajectory = 4 * rows * trajectory_rows(half_iterations);
  return {half_iterations, reference, state.narrow(0, 0, trajectory),
          state.narrow(0, trajectory, rows * q.size(3))};
}

/// Not filled; meta tensors take these shapes too.
Outputs outputs(const at::Tensor& q, const at::Tensor& pivots, int64_t half_iterations) {
  return {empty_heads(q),
          at::empty_symint({state_size(q, pivots, half_iterations)}, q.options().dtype(transport_type(q)))};
}

InputGradients input_gradients(const at::Tensor& q, const at::Tensor& pivots, const at::Tensor& log_sigma) {
  return {empty_heads(q), empty_heads(q), empty_heads(q),
          at::empty_like(pivots, at::MemoryFormat::Contiguous),
          at::empty_like(log_sigma, at::MemoryFormat::Contiguous)};
}

Outputs truncated_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                      const at::Tensor& log_sigma, const Optional& lengths, double epsilon,
                      int64_t half_iterations, bool reference) {
  check_inputs(q, k, v, pivots, log_sigma, {}, lengths);
  TORCH_CHECK_VALUE(half_iterations >= 1, "lotformer::pivot_truncated: half_iterations must be at least 1");
  Outputs result = outputs(q, pivots, half_iterations);
  const auto& [out, state] = result;
  pivot::cpu::bind::truncated({q, k, v, pivots, log_sigma, {}, lengths.value_or(at::Tensor()), epsilon},
                              run_of(state, q, pivots, half_iterations, reference), out);
  return result;
}

Outputs truncated_meta(const at::Tensor& q, const at::Tensor&, const at::Tensor&, const at::Tensor& pivots,
                       const at::Tensor&, const Optional&, double, int64_t half_iterations, bool) {
  return outputs(q, pivots, half_iterations);
}

InputGradients truncated_backward_cpu(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k,
                                      const at::Tensor& v, const at::Tensor& pivots,
                                      const at::Tensor& log_sigma, const Optional& lengths, double epsilon,
                                      int64_t half_iterations, bool reference, const at::Tensor& state) {
  check_inputs(q, k, v, pivots, log_sigma, {}, lengths);
  TORCH_CHECK_VALUE(
      state.dim() == 1 && state.sym_size(0) == state_size(q, pivots, half_iterations),
      "lotformer::pivot_truncated_backward: the state is not that of a forward call of this shape");
  InputGradients result = input_gradients(q, pivots, log_sigma);
  const auto& [d_q, d_k, d_v, d_pivots, d_log_sigma] = result;
  pivot::cpu::bind::truncated_backward(
      {q, k, v, pivots, log_sigma, {}, lengths.value_or(at::Tensor()), epsilon},
      run_of(state.contiguous(), q, pivots, half_iterations, reference), d_out,
      {d_q, d_k, d_v, d_pivots, d_log_sigma, {}});
  return result;
}

InputGradients truncated_backward_meta(const at::Tensor&, const at::Tensor& q, const at::Tensor&,
                                       const at::Tensor&, const at::Tensor& pivots,
                                       const at::Tensor& log_sigma, const Optional&, double, int64_t, bool,
                                       const at::Tensor&) {
  return input_gradients(q, pivots, log_sigma);
}

struct TruncatedFunction : torch::autograd::Function<TruncatedFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& log_sigma,
                               const Optional& lengths, double epsilon, int64_t half_iterations,
                               bool reference) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [out, state] =
        truncated_operator().call(q, k, v, pivots, log_sigma, lengths, epsilon, half_iterations, reference);
    ctx->saved_data["epsilon"] = epsilon;
    ctx->saved_data["half_iterations"] = half_iterations;
    ctx->saved_data["reference"] = reference;
    ctx->save_for_backward({q, k, v, pivots, log_sigma, lengths.value_or(at::Tensor()), state});
    ctx->mark_non_differentiable({state});
    return {out, state};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list s = ctx->get_saved_variables();
    const bool reference = ctx->saved_data["reference"].toBool();
    const auto [d_q, d_k, d_v, d_pivots, d_log_sigma] = truncated_backward_operator().call(
        upstream[0], s[0], s[1], s[2], s[3], s[4], optional_of(s[5]), ctx->saved_data["epsilon"].toDouble(),
        ctx->saved_data["half_iterations"].toInt(), reference, s[6]);
    return {d_q, d_k, d_v, d_pivots, reference ? at::Tensor() : d_log_sigma, {}, {}, {}, {}};
  }
};

Outputs truncated_autograd(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& pivots, const at::Tensor& log_sigma, const Optional& lengths,
                           double epsilon, int64_t half_iterations, bool reference) {
  const variable_list o =
      TruncatedFunction::apply(q, k, v, pivots, log_sigma, lengths, epsilon, half_iterations, reference);
  return {o[0], o[1]};
}

Outputs truncated_autocast(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& pivots, const at::Tensor& log_sigma, const Optional& lengths,
                           double epsilon, int64_t half_iterations, bool reference) {
  const c10::DeviceType device = q.device().type();
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto raised = [&](const at::Tensor& x) { return raised_to_float(x, device); };
  const auto [x, y, z] = autocast_tokens(q, k, v);
  return truncated_operator().call(x, y, z, raised(pivots), raised(log_sigma), lengths, epsilon,
                                   half_iterations, reference);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(lotformer, m) {
  m.def(
      "pivot_truncated(Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor log_sigma, Tensor? lengths, float "
      "epsilon, int half_iterations, bool reference) -> (Tensor out, Tensor state)");
  m.def(
      "pivot_truncated_backward(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor log_sigma, "
      "Tensor? lengths, float epsilon, int half_iterations, bool reference, Tensor state) "
      "-> (Tensor d_q, Tensor d_k, Tensor d_v, Tensor d_pivots, Tensor d_log_sigma)");
}
TORCH_LIBRARY_IMPL(lotformer, CPU, m) {
  m.impl("pivot_truncated", TORCH_FN(truncated_cpu));
  m.impl("pivot_truncated_backward", TORCH_FN(truncated_backward_cpu));
}
TORCH_LIBRARY_IMPL(lotformer, Meta, m) {
  m.impl("pivot_truncated", TORCH_FN(truncated_meta));
  m.impl("pivot_truncated_backward", TORCH_FN(truncated_backward_meta));
}
TORCH_LIBRARY_IMPL(lotformer, Autograd, m) {
  m.impl("pivot_truncated", TORCH_FN(truncated_autograd));
}
TORCH_LIBRARY_IMPL(lotformer, AutocastCPU, m) {
  m.impl("pivot_truncated", TORCH_FN(truncated_autocast));
}
TORCH_LIBRARY_IMPL(lotformer, AutocastCUDA, m) {
  m.impl("pivot_truncated", TORCH_FN(truncated_autocast));
}

at::Tensor truncated_by_operator(const PivotCall& call) {
  const auto apply = [&](const at::Tensor& log_sigma, const at::Tensor& lengths) {
    return std::get<0>(truncated_operator().call(call.q, call.k, call.v, call.pivots, log_sigma,
                                                 optional_of(lengths), call.epsilon, call.half_iterations,
                                                 call.mode == PivotMode::reference));
  };
  if (call.mode == PivotMode::truncated) return apply(call.masses, call.lengths);
  const double log_sigma = -std::log(static_cast<double>(call.pivots.size(1)));
  return apply(at::full({call.pivots.size(0), call.pivots.size(1)}, log_sigma,
                        call.pivots.options().requires_grad(false)),
               {});
}

}  // namespace lotformer::ops
