// SPDX-License-Identifier: MIT
// What the property suite walks: every module of the table with its default options, and the other clean
// modes and options.
// (`reference*` modes compute padded rows as published and are left to the golden cases.) Include before
// support/catch.h.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lotformer/attention/attention.h"
#include "support/attention_inputs.h"

namespace lotformer::test {

struct Variant {
  std::string kind;
  /// "key=value".
  std::vector<std::string> options = {};
  /// Draws random numbers in every call, so tests seed before each.
  bool random = false;
  /// False: kinks, finite differences take a small step.
  bool smooth = true;
  /// Of gradients against finite differences; solvers stop at 1e-6.
  double fd_tolerance = 1e-4;

  std::string name() const;
};
/// The default of every module first, at last a module of the suite's own in which the place of a token
/// matters.
const std::vector<Variant>& attention_variants();

/// What the suite may demand of the variant.
AttentionTraits traits_of(const Variant& variant);

/// In evaluation mode, every parameter 0.3 times a standard normal so that the scores matter.
std::shared_ptr<AttentionImpl> make_module(const Variant& variant, int64_t heads, int64_t head_dim,
                                           at::ScalarType type);

struct Gradients {
  at::Tensor out, q, k, v;
  std::vector<at::Tensor> parameters;

  /// [B, H, N, D] each.
  std::vector<at::Tensor> tokens() const { return {out, q, k, v}; }
};

/// Forward and backward from fresh leaves; torch is seeded first. A gradient that is not there counts as
/// zero. `autocast`: of the forward pass, as the trainer has it.
Gradients run_module(AttentionImpl& module, const AttentionInputs& x, const at::Tensor& lengths,
                     const at::Tensor& upstream, std::optional<at::ScalarType> autocast = std::nullopt);

/// Equal in every bit, signs of zeros included; a NaN never is.
bool identical(const at::Tensor& a, const at::Tensor& b);

}  // namespace lotformer::test
