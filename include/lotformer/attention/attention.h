// SPDX-License-Identifier: MIT
// The one interface of all attention modules. A new module: docs/adding-an-attention.md.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lotformer/attention/diagnostics.h"
#include "lotformer/config/config.h"
#include "lotformer/config/field.h"

namespace lotformer {

/// Maps Q, K, V to an output of the same shape. Projections, head split and residual live in model/encoder.
/// What only some modules can do stands in attention/capabilities: they inherit from it beside this class,
/// and who needs it asks for it.
class AttentionImpl : public torch::nn::Module {
 public:
  ///   q, k, v : [B, H, N, D], any strides with the last equal to 1, one dtype, one device; self-attention,
  ///             same N for all three
  ///   lengths : int64 [B] on the same device; tokens [0, lengths[b]) are real, the rest is padding.
  ///             Undefined: every token is real.
  ///   returns : [B, H, N, D] in the dtype of q; padded rows are zero (except in `reference` modes). What
  ///             stands in padding never influences anything.
  /// Error(internal) when the inputs disagree. The result under autocast is the one without it.
  at::Tensor forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& lengths);
  /// Numbers for research (train.diagnostics_every): what probe_attention finds, and what the module knows of
  /// its own.
  virtual Diagnostics diagnose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
    return probe_attention(*this, q, k, lengths);
  }
  /// True where padded rows of q, k, v enter the result or padded rows of the output are not zero
  /// (`reference` modes): the encoder then computes padding like any other token. Else it may leave padding
  /// out and hand over zeros there.
  virtual bool padding_takes_part() const { return false; }

 protected:
  /// The type of the tokens that attend() is handed.
  enum class Compute {
    /// float32 at least, see computing_type(): sums and exponentials do not survive bfloat16.
    float32,
    /// As they come, bfloat16 under autocast: for modules whose operators make what they need of them.
    native
  };
  /// `kind` stands before the message when inputs disagree.
  explicit AttentionImpl(std::string kind, Compute compute = Compute::float32);

 private:
  /// forward() of inputs that have been checked and are of the module's type; autocast is off. forward()
  /// casts the result.
  virtual at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& lengths) = 0;

  Compute compute_;
};

/// What is computed in beside tokens of x: float64 stays, everything else becomes float32.
at::ScalarType computing_type(const at::Tensor& x);

struct AttentionShape {
  int64_t heads = 0;
  int64_t head_dim = 0;
  /// On attention weights; only softmax uses it.
  double dropout = 0;
};

/// What the property suite must demand of a module: the sums with default options, the rest with every
/// option.
struct AttentionTraits {
  /// Rows and columns of the map sum to 1 (within marginal_tolerance).
  bool doubly_stochastic = false;
  /// Rows do.
  bool row_stochastic = false;
  double marginal_tolerance = 1e-5;
  /// Permuted tokens give the permuted result; false where the place of a token matters.
  bool permutation_equivariant = true;
  /// bfloat16 tokens give what the same numbers give in float32, rounded; false where the arithmetic itself
  /// is bfloat16.
  bool float32_arithmetic = true;
};

/// One row of the table of modules.
struct AttentionSpec {
  std::string kind;
  AttentionTraits traits;
  /// Defaults.
  std::unique_ptr<Options> (*options)();
  std::shared_ptr<AttentionImpl> (*build)(const Options& options, const AttentionShape& shape);
};

/// Makes the row for a module class `Impl(const OptionsT&, const AttentionShape&)`.
template <class OptionsT, class Impl>
AttentionSpec attention_spec(std::string kind, AttentionTraits traits) {
  return {std::move(kind), traits, []() -> std::unique_ptr<Options> { return std::make_unique<OptionsT>(); },
          [](const Options& options, const AttentionShape& shape) -> std::shared_ptr<AttentionImpl> {
            return std::make_shared<Impl>(dynamic_cast<const OptionsT&>(options), shape);
          }};
}

/// The table: src/attention/registry.cpp, one line a module.
const std::vector<AttentionSpec>& attention_specs();
/// Error(usage) naming the known kinds when `kind` is not one.
const AttentionSpec& find_attention(const std::string& kind);
/// The table as `config` wants it.
AttentionKinds attention_kinds();

}  // namespace lotformer
