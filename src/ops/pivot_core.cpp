// SPDX-License-Identifier: MIT
// The operators of pivot_core.h. The functions that call them stand in this file too, so that a program which uses them cannot be linked
// without their registration.
#include "lotformer/ops/pivot_core.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "pivot_core_cpu.h"
#include "pivot_core_shared.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using ExactOutputs =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using ExactGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

using ExactSignature = ExactOutputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                                    const Optional& lengths, double epsilon, double tolerance,
                                    int64_t max_passes, bool keep_gram);
using ExactBackwardSignature = ExactGradients(const at::Tensor& d_out, const at::Tensor& q,
                                              const at::Tensor& k, const at::Tensor& v,
                                              const at::Tensor& pivots, const at::Tensor& sigma,
                                              const Optional& kappa, const Optional& lengths, double epsilon,
                                              const at::Tensor& potentials, const at::Tensor& marginal,
                                              const at::Tensor& gram, const at::Tensor& summary);

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

/// The outputs of pivot_exact, not filled; any device, meta included.
ExactOutputs exact_outputs(const at::Tensor& q, const at::Tensor& pivots, bool keep_gram) {
  const auto batch = q.sym_size(0), heads = q.sym_size(1), r = pivots.sym_size(1);
  const auto real = q.options();
  const at::Tensor gram = keep_gram ? at::empty_symint({2, batch, heads, r, r}, real) : at::empty({0}, real);
  return {empty_heads(q),
          at::empty_symint({2, batch, heads, r}, real),
          at::empty_symint({2, batch, heads, r}, real),
          gram,
          at::empty_symint({batch, heads, r, q.sym_size(3)}, real),
          at::empty_symint({2, batch, heads}, real),
          at::empty_symint({2, batch, heads}, real.dtype(at::kLong))};
}

ExactGradients exact_gradients(const at::Tensor& q, const at::Tensor& pivots, const at::Tensor& sigma,
                               const Optional& kappa) {
  const at::Tensor d_kappa = kappa && kappa->defined() ? at::empty_like(*kappa, at::MemoryFormat::Contiguous)
                                                       : at::empty({0}, q.options());
  return {empty_heads(q),
          empty_heads(q),
          empty_heads(q),
          at::empty_like(pivots, at::MemoryFormat::Contiguous),
          at::empty_like(sigma, at::MemoryFormat::Contiguous),
          d_kappa};
}

void check_kappa(const at::Tensor& q, const Optional& kappa) {
  if (kappa && kappa->defined()) {
    TORCH_CHECK_VALUE(kappa->dim() == 2 && kappa->size(0) == 2 && kappa->size(1) == q.size(1) &&
                          kappa->scalar_type() == q.scalar_type(),
                      "lotformer::pivot: kappa must be [2, H] in the dtype of q, got ", kappa->sizes());
  }
}

ExactOutputs exact_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                       const Optional& lengths, double epsilon, double tolerance, int64_t max_passes,
                       bool keep_gram) {
  check_inputs(q, k, v, pivots, sigma, lengths);
  check_kappa(q, kappa);
  TORCH_CHECK_VALUE(max_passes >= 1, "lotformer::pivot_exact: max_passes must be at least 1");
  ExactOutputs outputs = exact_outputs(q, pivots, keep_gram);
  const auto& [out, potentials, marginal, gram, summary, residual, passes] = outputs;
  core_cpu::exact(
      {q, k, v, pivots, sigma, kappa.value_or(at::Tensor()), lengths.value_or(at::Tensor()), epsilon},
      tolerance, max_passes, out, {potentials, marginal, gram, summary, residual, passes});
  return outputs;
}

ExactOutputs exact_meta(const at::Tensor& q, const at::Tensor&, const at::Tensor&, const at::Tensor& pivots,
                        const at::Tensor&, const Optional&, const Optional&, double, double, int64_t,
                        bool keep_gram) {
  return exact_outputs(q, pivots, keep_gram);
}

ExactGradients exact_backward_cpu(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& sigma,
                                  const Optional& kappa, const Optional& lengths, double epsilon,
                                  const at::Tensor& potentials, const at::Tensor& marginal,
                                  const at::Tensor& gram, const at::Tensor& summary) {
  check_inputs(q, k, v, pivots, sigma, lengths);
  check_kappa(q, kappa);
  TORCH_CHECK_VALUE(gram.numel() > 0 || q.numel() == 0,
                    "lotformer::pivot_exact_backward: the forward call kept no Gram matrices");
  ExactGradients gradients = exact_gradients(q, pivots, sigma, kappa);
  const auto& [d_q, d_k, d_v, d_pivots, d_sigma, d_kappa] = gradients;
  const bool relaxed = kappa && kappa->defined();
  core_cpu::exact_backward(
      {q, k, v, pivots, sigma, kappa.value_or(at::Tensor()), lengths.value_or(at::Tensor()), epsilon}, d_out,
      {potentials.contiguous(), marginal.contiguous(), gram.contiguous(), summary.contiguous(), {}, {}},
      {d_q, d_k, d_v, d_pivots, d_sigma, relaxed ? d_kappa : at::Tensor()});
  return gradients;
}

ExactGradients exact_backward_meta(const at::Tensor&, const at::Tensor& q, const at::Tensor&,
                                   const at::Tensor&, const at::Tensor& pivots, const at::Tensor& sigma,
                                   const Optional& kappa, const Optional&, double, const at::Tensor&,
                                   const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  return exact_gradients(q, pivots, sigma, kappa);
}

struct ExactFunction : torch::autograd::Function<ExactFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& sigma,
                               const Optional& kappa, const Optional& lengths, double epsilon,
                               double tolerance, int64_t max_passes, bool keep_gram) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [out, potentials, marginal, gram, summary, residual, passes] = exact_operator().call(
        q, k, v, pivots, sigma, kappa, lengths, epsilon, tolerance, max_passes, keep_gram);
    ctx->saved_data["epsilon"] = epsilon;
    ctx->save_for_backward({q, k, v, pivots, sigma, kappa.value_or(at::Tensor()),
                            lengths.value_or(at::Tensor()), potentials, marginal, gram, summary});
    ctx->mark_non_differentiable({potentials, marginal, gram, summary, residual, passes});
    return {out, potentials, marginal, gram, summary, residual, passes};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list s = ctx->get_saved_variables();
    const auto [d_q, d_k, d_v, d_pivots, d_sigma, d_kappa] = exact_backward_operator().call(
        upstream[0], s[0], s[1], s[2], s[3], s[4], optional_of(s[5]), optional_of(s[6]),
        ctx->saved_data["epsilon"].toDouble(), s[7], s[8], s[9], s[10]);
    return {d_q, d_k, d_v, d_pivots, d_sigma, s[5].defined() ? d_kappa : at::Tensor(), {}, {}, {}, {}, {}};
  }
};

ExactOutputs exact_autograd(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, double epsilon, double tolerance, int64_t max_passes,
                            bool keep_gram) {
  const at::Tensor relaxation = kappa.value_or(at::Tensor());
  const bool keep = keep_gram || wants_gradient({q, k, v, pivots, sigma, relaxation});
  const variable_list o =
      ExactFunction::apply(q, k, v, pivots, sigma, kappa, lengths, epsilon, tolerance, max_passes, keep);
  return {o[0], o[1], o[2], o[3], o[4], o[5], o[6]};
}

ExactOutputs exact_autocast(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, double epsilon, double tolerance, int64_t max_passes,
                            bool keep_gram) {
  const c10::DeviceType device = q.device().type();
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return exact_operator().call(raised_to_float(q, device), raised_to_float(k, device),
                               raised_to_float(v, device), raised_to_float(pivots, device),
                               raised_to_float(sigma, device),
                               kappa ? Optional(raised_to_float(*kappa, device)) : kappa, lengths, epsilon,
                               tolerance, max_passes, keep_gram);
}

void fill(PivotSolveStats* stats, const at::Tensor& residual, const at::Tensor& passes, double tolerance,
          int64_t max_passes) {
  *stats = {};
  stats->problems = passes.numel();
  stats->residual = residual.flatten();
  if (!passes.is_cpu()) return;
  const int64_t* used = passes.const_data_ptr<int64_t>();
  const at::Tensor wide = stats->residual.to(at::kDouble);
  const double* left = wide.const_data_ptr<double>();
  for (int64_t i = 0; i < stats->problems; ++i) {
    stats->problem_passes += used[i];
    stats->longest = std::max(stats->longest, used[i]);
    stats->capped += used[i] >= max_passes && left[i] > tolerance;
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(lotformer, m) {
  m.def(
      "pivot_exact(Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor sigma, Tensor? kappa, Tensor? "
      "lengths, "
      "float epsilon, float tolerance, int max_passes, bool keep_gram) -> (Tensor out, Tensor potentials, "
      "Tensor marginal, Tensor gram, Tensor summary, Tensor residual, Tensor passes)");
  m.def(
      "pivot_exact_backward(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor pivots, Tensor sigma, Tensor? "
      "kappa, Tensor? lengths, float epsilon, Tensor potentials, Tensor marginal, Tensor gram, Tensor "
      "summary) "
      "-> (Tensor d_q, Tensor d_k, Tensor d_v, Tensor d_pivots, Tensor d_sigma, Tensor d_kappa)");
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

bool pivot_core_on(c10::Device device) {
  const auto has = [](c10::DispatchKey key) { return exact_operator().hasKernelForDispatchKey(key); };
  return device.is_cpu() ? has(c10::DispatchKey::CPU) : device.is_cuda() && has(c10::DispatchKey::CUDA);
}

at::Tensor pivot_core_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                            double epsilon, const PivotSolverOptions& options, PivotSolveStats* stats,
                            const at::Tensor& kappa) {
  if (stats) *stats = {};
  require_core(q);
  if (q.numel() == 0) return at::zeros_like(q);
  auto [out, potentials, marginal, gram, summary, residual, passes] =
      exact_operator().call(q, k, v, pivots, sigma, optional_of(kappa), optional_of(lengths), epsilon,
                            options.tolerance, options.max_passes, false);
  if (stats) fill(stats, residual, passes, options.tolerance, options.max_passes);
  return out;
}

}  // namespace lotformer::ops
