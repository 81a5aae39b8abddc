// SPDX-License-Identifier: MIT
// The two functions of pivot.h, and the one place that chooses who computes.
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <mutex>
#include <set>

#include "call.h"
#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "operators.h"
#include "ops/pivot/aten/aten.h"

namespace lotformer::ops {
namespace {

std::string name_of(PivotCore core) {
  return core == PivotCore::cpu ? "cpu" : core == PivotCore::cuda ? "cuda" : "aten";
}

PivotCore own_core(c10::Device device) {
  return device.is_cpu() ? PivotCore::cpu : device.is_cuda() ? PivotCore::cuda : PivotCore::aten;
}

/// Why the core of the tensors' own device does not serve the call; empty: it does.
std::string refusal_of_own_core(const PivotCall& call) {
  const c10::Device device = call.q.device();
  if (!has_core(device)) return concat("this build has no core for tensors on ", device.str());
  if (call.marginals.keys_by_pivot)
    return "pivots that choose among keys (marginals without the key side, free_keys: tokens) are computed "
           "by aten alone";
  const auto refusal = core_traits(device.type()).refusal;
  if (!refusal || call.q.numel() == 0) return {};  // of nothing it is nothing, whoever computes it
  // Whether there is a kappa is all that is looked at.
  const PivotMarginals& m = call.marginals;
  const at::Tensor& kappa = m.query_kappa.defined() ? m.query_kappa : m.key_kappa;
  const PivotArguments arguments{call.q, call.k,       call.v,       call.pivots, call.masses,
                                 kappa,  call.lengths, call.epsilon, m.tokens};
  return refusal(arguments, {call.mode, call.solver.tolerance, call.solver.max_passes, call.half_iterations});
}

/// Each line once a process.
void say_once(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(text).second) log::info(text);
}

/// What the log is to know of a choice that is no error.
void say_choice(const CoreChoice& choice) {
  if (choice.core == PivotCore::cuda)
    say_once(
        "attention takes the cuda core, which has been tested on an emulator and not measured on hardware");
  if (!choice.refusal.empty()) say_once(concat("attention takes the ATen path: ", choice.refusal));
}

at::Tensor by_aten(const PivotCall& call, PivotSolveStats* stats) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  switch (call.mode) {
    case PivotMode::exact:
      return pivot::aten::exact(call, stats);
    case PivotMode::truncated:
      return pivot::aten::truncated(call);
    case PivotMode::reference:
      break;
  }
  return pivot::aten::reference(call);
}

/// q, k and v in the type that `core` computes from: bf16 stays where the core makes float32 of it itself.
PivotCall in_type_of(PivotCall call, PivotCore core) {
  const at::ScalarType type = call.q.scalar_type();
  const bool kept =
      type == at::kFloat || type == at::kDouble ||
      (core != PivotCore::aten && type == at::kBFloat16 && core_traits(call.q.device().type()).bf16);
  if (kept) return call;
  for (at::Tensor* x : {&call.q, &call.k, &call.v}) {
    if (x->defined()) *x = x->to(transport_type(*x));  // plans have no v
  }
  return call;
}

}  // namespace

CoreChoice choose_core(const PivotCall& call) {
  const PivotCore own = own_core(call.q.device());
  if (call.core == PivotCore::aten) return {PivotCore::aten, {}};
  if (call.core != PivotCore::automatic && call.core != own) {
    if (call.core == PivotCore::cuda && !has_core(c10::Device(at::kCUDA, 0)))
      return {PivotCore::aten, "this build has no cuda core"};
    return {PivotCore::aten,
            concat(name_of(call.core), " does not serve tensors on ", call.q.device().str())};
  }
  // Truncated modes stay with aten unless a core is named: a core does not survive learned masses that
  // underflow.
  if (call.core == PivotCore::automatic && call.mode != PivotMode::exact) return {PivotCore::aten, {}};
  std::string refusal = refusal_of_own_core(call);
  return refusal.empty() ? CoreChoice{own, {}} : CoreChoice{PivotCore::aten, std::move(refusal)};
}

at::Tensor pivot_attention(const PivotCall& call, PivotSolveStats* stats) {
  if (stats) *stats = {};
  const CoreChoice choice = choose_core(call);
  if (call.core == PivotCore::automatic || choice.refusal.empty()) {
    say_choice(choice);
  } else {
    throw Error(ErrorKind::usage, concat("model.attention.core: ", name_of(call.core), ": ", choice.refusal,
                                         "; use auto or aten"));
  }
  if (call.q.numel() == 0) return at::zeros_like(call.q);
  const PivotCall own = in_type_of(call, choice.core);
  const at::Tensor out = choice.core == PivotCore::aten  ? by_aten(own, stats)
                         : call.mode == PivotMode::exact ? exact_by_operator(own, stats)
                                                         : truncated_by_operator(own);
  return out.to(call.q.scalar_type());
}

PivotPlans pivot_plans(const PivotCall& given) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const PivotCall call = in_type_of(given, PivotCore::aten);
  switch (call.mode) {
    case PivotMode::exact:
      return pivot::aten::exact_plans(call);
    case PivotMode::truncated:
      return pivot::aten::truncated_plans(call);
    case PivotMode::reference:
      break;
  }
  return pivot::aten::reference_plans(call);
}

}  // namespace lotformer::ops
