// SPDX-License-Identifier: MIT
// lotformer::pivot_exact. The function that calls it stands in this file too, so that a program which uses it
// cannot be linked without its registration.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

#include "call.h"
#include "operators.h"
#include "ops/pivot/cpu/bind.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using ExactOutputs = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ExactGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                  at::Tensor, at::Tensor>;

using ExactSignature = ExactOutputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                                    const Optional& lengths, const Optional& query_masses,
                                    const Optional& key_masses, double epsilon, double tolerance,
                                    int64_t max_passes, bool keep_gram);
using ExactBackwardSignature = ExactGradients(const at::Tensor& d_out, const at::Tensor& q,
                                              const at::Tensor& k, const at::Tensor& v,
                                              const at::Tensor& pivots, const at::Tensor& sigma,
                                              const Optional& kappa, const Optional& lengths,
                                              const Optional& query_masses, const Optional& key_masses,
                                              double epsilon, const at::Tensor& state);

const c10::TypedOperatorHandle<ExactSignature>& exact_operator() {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("lotformer::pivot_exact", "").typed<ExactSignature>();
  return handle;
}
const c10::TypedOperatorHandle<ExactBackwardSignature>& exact_backward_operator() {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("lotformer::pivot_exact_backward", "")
                                 .typed<ExactBackwardSignature>();
  return handle;
}

/// Numbers in the state of the CPU core: potentials, marginal, summary, and last the Gram matrices where they
/// are kept.
c10::SymInt state_size(const at::Tensor& q, const at::Tensor& pivots, bool keep_gram) {
  const auto r = pivots.sym_size(1), rows = q.sym_size(0) * q.sym_size(1) * r;
  return rows * (4 + q.sym_size(3) + (keep_gram ? 2 * r : c10::SymInt(0)));
}

PivotState state_parts(const at::Tensor& state, const at::Tensor& q, const at::Tensor& pivots) {
  const int64_t rows = q.size(0) * q.size(1) * pivots.size(1), summary = rows * q.size(3);
  return {state.narrow(0, 0, 2 * rows),
          state.narrow(0, 2 * rows, 2 * rows),
          state.narrow(0, 4 * rows + summary, state.size(0) - 4 * rows - summary),
          state.narrow(0, 4 * rows, summary),
          {},
          {}};
}

/// The outputs of pivot_exact on the CPU, not filled; meta tensors take these shapes too.
ExactOutputs exact_outputs(const at::Tensor& q, const at::Tensor& pivots, bool keep_gram) {
  const auto batch = q.sym_size(0), heads = q.sym_size(1);
  const auto real = q.options().dtype(transport_type(q));
  return {empty_heads(q), at::empty_symint({state_size(q, pivots, keep_gram)}, real),
          at::empty_symint({2, batch, heads}, real),
          at::empty_symint({2, batch, heads}, real.dtype(at::kLong))};
}

ExactGradients exact_gradients(const at::Tensor& q, const at::Tensor& pivots, const at::Tensor& sigma,
                               const Optional& kappa, const Optional& query_masses,
                               const Optional& key_masses) {
  const auto like = [&](const Optional& x) {
    return x && x->defined() ? at::empty_like(*x, at::MemoryFormat::Contiguous) : at::empty({0}, q.options());
  };
  return {empty_heads(q),
          empty_heads(q),
          empty_heads(q),
          at::empty_like(pivots, at::MemoryFormat::Contiguous),
          at::empty_like(sigma, at::MemoryFormat::Contiguous),
          like(kappa),
          like(query_masses),
          like(key_masses)};
}

/// The gradient of an input that may be missing.
at::Tensor where_given(const at::Tensor& input, const at::Tensor& gradient) {
  return input.defined() ? gradient : at::Tensor();
}

ExactOutputs exact_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                       const Optional& lengths, const Optional& query_masses, const Optional& key_masses,
                       double epsilon, double tolerance, int64_t max_passes, bool keep_gram) {
  const PivotArguments arguments =
      arguments_of(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon);
  check_inputs(q, k, v, pivots, sigma, kappa, lengths);
  check_masses(arguments.masses, q, pivots);
  TORCH_CHECK_VALUE(max_passes >= 1, "lotformer::pivot_exact: max_passes must be at least 1");
  ExactOutputs outputs = exact_outputs(q, pivots, keep_gram);
  const auto& [out, state, residual, passes] = outputs;
  PivotState parts = state_parts(state, q, pivots);
  parts.residual = residual;
  parts.passes = passes;
  pivot::cpu::bind::exact(arguments, tolerance, max_passes, out, parts);
  return outputs;
}

ExactOutputs exact_meta(const at::Tensor& q, const at::Tensor&, const at::Tensor&, const at::Tensor& pivots,
                        const at::Tensor&, const Optional&, const Optional&, const Optional&, const Optional&,
                        double, double, int64_t, bool keep_gram) {
  return exact_outputs(q, pivots, keep_gram);
}

ExactGradients exact_backward_cpu(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& sigma,
                                  const Optional& kappa, const Optional& lengths,
                                  const Optional& query_masses, const Optional& key_masses, double epsilon,
                                  const at::Tensor& state) {
  const PivotArguments arguments =
      arguments_of(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon);
  check_inputs(q, k, v, pivots, sigma, kappa, lengths);
  check_masses(arguments.masses, q, pivots);
  TORCH_CHECK_VALUE(
      state.dim() == 1 && state.sym_size(0) == state_size(q, pivots, true),
      "lotformer::pivot_exact_backward: the state is not that of a forward call with keep_gram");
  ExactGradients gradients = exact_gradients(q, pivots, sigma, kappa, query_masses, key_masses);
  const auto& [d_q, d_k, d_v, d_pivots, d_sigma, d_kappa, d_query_masses, d_key_masses] = gradients;
  pivot::cpu::bind::exact_backward(arguments, d_out, state_parts(state.contiguous(), q, pivots),
                                   {d_q,
                                    d_k,
                                    d_v,
                                    d_pivots,
                                    d_sigma,
                                    where_given(arguments.kappa, d_kappa),
                                    {where_given(arguments.masses.query, d_query_masses),
                                     where_given(arguments.masses.key, d_key_masses)}});
  return gradients;
}

ExactGradients exact_backward_meta(const at::Tensor&, const at::Tensor& q, const at::Tensor&,
                                   const at::Tensor&, const at::Tensor& pivots, const at::Tensor& sigma,
                                   const Optional& kappa, const Optional&, const Optional& query_masses,
                                   const Optional& key_masses, double, const at::Tensor&) {
  return exact_gradients(q, pivots, sigma, kappa, query_masses, key_masses);
}

struct ExactFunction : torch::autograd::Function<ExactFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& sigma,
                               const Optional& kappa, const Optional& lengths, const Optional& query_masses,
                               const Optional& key_masses, double epsilon, double tolerance,
                               int64_t max_passes, bool keep_gram) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [out, state, residual, passes] =
        exact_operator().call(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon,
                              tolerance, max_passes, keep_gram);
    ctx->saved_data["epsilon"] = epsilon;
    ctx->save_for_backward({q, k, v, pivots, sigma, kappa.value_or(at::Tensor()),
                            lengths.value_or(at::Tensor()), state, query_masses.value_or(at::Tensor()),
                            key_masses.value_or(at::Tensor())});
    ctx->mark_non_differentiable({state, residual, passes});
    return {out, state, residual, passes};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list s = ctx->get_saved_variables();
    const auto [d_q, d_k, d_v, d_pivots, d_sigma, d_kappa, d_query_masses, d_key_masses] =
        exact_backward_operator().call(upstream[0], s[0], s[1], s[2], s[3], s[4], optional_of(s[5]),
                                       optional_of(s[6]), optional_of(s[8]), optional_of(s[9]),
                                       ctx->saved_data["epsilon"].toDouble(), s[7]);
    return {d_q,
            d_k,
            d_v,
            d_pivots,
            d_sigma,
            where_given(s[5], d_kappa),
            {},
            where_given(s[8], d_query_masses),
            where_given(s[9], d_key_masses),
            {},
            {},
            {},
            {}};
  }
};

ExactOutputs exact_autograd(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, const Optional& query_masses, const Optional& key_masses,
                            double epsilon, double tolerance, int64_t max_passes, bool keep_gram) {
  const PivotArguments a =
      arguments_of(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon);
  const bool keep =
      keep_gram || wants_gradient({q, k, v, pivots, sigma, a.kappa, a.masses.query, a.masses.key});
  const variable_list o = ExactFunction::apply(q, k, v, pivots, sigma, kappa, lengths, query_masses,
                                               key_masses, epsilon, tolerance, max_passes, keep);
  return {o[0], o[1], o[2], o[3]};
}

ExactOutputs exact_autocast(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, const Optional& query_masses, const Optional& key_masses,
                            double epsilon, double tolerance, int64_t max_passes, bool keep_gram) {
  const c10::DeviceType device = q.device().type();
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto [x, y, z] = autocast_tokens(q, k, v);
  const auto raised = [&](const Optional& own) {
    return own ? Optional(raised_to_float(*own, device)) : own;
  };
  return exact_operator().call(x, y, z, raised_to_float(pivots, device), raised_to_float(sigma, device),
                               raised(kappa), lengths, raised(query_masses), raised(key_masses), epsilon,
                               tolerance, max_passes, keep_gram);
}

/// The operator's `kappa` [2, H], queries first; undefined where both pivot marginals are held.
at::Tensor stacked_kappa(const PivotMarginals& marginals, const at::Tensor& masses) {
  if (marginals.all_held()) return {};
  const at::Tensor held = at::zeros({masses.size(0)}, masses.options().requires_grad(false));
  const auto row = [&](const at::Tensor& own) { return own.defined() ? own : held; };
  return at::stack({row(marginals.query_kappa), row(marginals.key_kappa)});
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(lotformer, m) {
  m.def(
      "pivot_exact(Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor sigma, Tensor? kappa, Tensor? "
      "lengths, Tensor? query_masses, Tensor? key_masses, "
      "float epsilon, float tolerance, int max_passes, bool keep_gram) -> (Tensor out, Tensor state, "
      "Tensor residual, Tensor passes)");
  m.def(
      "pivot_exact_backward(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor sigma, Tensor? "
      "kappa, Tensor? lengths, Tensor? query_masses, Tensor? key_masses, float epsilon, Tensor state) -> "
      "(Tensor d_q, Tensor d_k, Tensor d_v, Tensor d_pivots, Tensor d_sigma, Tensor d_kappa, Tensor "
      "d_query_masses, Tensor d_key_masses)");
}
TORCH_LIBRARY_IMPL(lotformer, CPU, m) {
  m.impl("pivot_exact", TORCH_FN(exact_cpu));
  m.impl("pivot_exact_backward", TORCH_FN(exact_backward_cpu));
}
TORCH_LIBRARY_IMPL(lotformer, Meta, m) {
  m.impl("pivot_exact", TORCH_FN(exact_meta));
  m.impl("pivot_exact_backward", TORCH_FN(exact_backward_meta));
}
TORCH_LIBRARY_IMPL(lotformer, Autograd, m) {
  m.impl("pivot_exact", TORCH_FN(exact_autograd));
}
TORCH_LIBRARY_IMPL(lotformer, AutocastCPU, m) {
  m.impl("pivot_exact", TORCH_FN(exact_autocast));
}
TORCH_LIBRARY_IMPL(lotformer, AutocastCUDA, m) {
  m.impl("pivot_exact", TORCH_FN(exact_autocast));
}

bool has_core(c10::Device device) {
  const auto has = [](c10::DispatchKey key) { return exact_operator().hasKernelForDispatchKey(key); };
  return device.is_cpu() ? has(c10::DispatchKey::CPU) : device.is_cuda() && has(c10::DispatchKey::CUDA);
}

at::Tensor exact_by_operator(const PivotCall& call, PivotSolveStats* stats) {
  const TokenMasses& tokens = call.marginals.tokens;
  auto [out, state, residual, passes] =
      exact_operator().call(call.q, call.k, call.v, call.pivots, call.masses,
                            optional_of(stacked_kappa(call.marginals, call.masses)),
                            optional_of(call.lengths), optional_of(tokens.query), optional_of(tokens.key),
                            call.epsilon, call.solver.tolerance, call.solver.max_passes, false);
  if (stats) {
    *stats = {passes.numel(), 0, 0, 0, residual.flatten(), passes.flatten(), call.solver};
    if (passes.is_cpu()) *stats = stats->counted();
  }
  return out;
}

}  // namespace lotformer::ops
