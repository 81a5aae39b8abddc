// SPDX-License-Identifier: MIT
// What the operators and the cores' bindings have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <string>

#include "lotformer/ops/pivot.h"

namespace lotformer::ops {

using Optional = std::optional<at::Tensor>;

/// Inputs common to the operators; undefined lengths: all real, undefined kappa: zeros.
struct PivotArguments {
  at::Tensor q, k, v;         // [B, H, N, D]
  at::Tensor pivots, sigma;   // [H, r, D], [H, r]
  at::Tensor kappa, lengths;  // [2, H], int64 [B]
  double epsilon;
  TokenMasses masses = {};
};

struct PivotGradients {
  at::Tensor q, k, v, pivots, sigma;
  at::Tensor kappa;         // undefined without one
  TokenMasses masses = {};  // the same
};

/// What a call asks for beside its tensors. `sigma` of its arguments is log sigma in the truncated modes.
struct PivotSetting {
  PivotMode mode = PivotMode::exact;
  double tolerance = 1e-4;      // exact
  int64_t max_passes = 32;      // exact
  int64_t half_iterations = 0;  // truncated, reference
};

/// What there is to know of a device's core.
struct CoreTraits {
  /// q, k, v may be bf16 beside float32 pivots and masses.
  bool bf16 = false;
  /// Why this call is not served, one sentence without a full stop; empty: it is. Null: everything is.
  std::string (*refusal)(const PivotArguments& arguments, const PivotSetting& setting) = nullptr;
};
CoreTraits& core_traits(c10::DeviceType device);
/// Builds with CUDA only. Stands beside the registration of the CUDA kernels: whoever asks for traits links
/// them.
CoreTraits cuda_core_traits();

/// An operator's arguments together.
PivotArguments arguments_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, const Optional& query_masses, const Optional& key_masses,
                            double epsilon);

inline Optional optional_of(const at::Tensor& x) {
  return x.defined() ? Optional(x) : std::nullopt;
}

/// [B, H, N, D] in the memory order [B, N, H, D]; meta tensors too.
at::Tensor empty_heads(const at::Tensor& like);
/// Shapes of a call; ValueError.
void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& masses, const Optional& kappa, const Optional& lengths);
/// Shapes, dtypes and lengths of a CPU call; ValueError, TypeError. A core that is told a wrong length reads
/// beyond the tensor.
void check_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& masses, const Optional& kappa, const Optional& lengths);
/// Masses of tokens beside q: [B, H, N], of the type and on the device of the pivots; ValueError, TypeError.
void check_masses(const TokenMasses& masses, const at::Tensor& q, const at::Tensor& pivots);
/// Of pivots, masses and everything a core keeps: float64 beside float64, else float32.
at::ScalarType transport_type(const at::Tensor& q);
/// float32 at least, for autocast: small differences of exponents do not survive bf16.
at::Tensor raised_to_float(const at::Tensor& x, c10::DeviceType device);
/// q, k, v for a core under autocast: bf16 stays where the core computes float32 scores from it, all else is
/// raised.
std::array<at::Tensor, 3> autocast_tokens(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
bool wants_gradient(at::TensorList tensors);

}  // namespace lotformer::ops
