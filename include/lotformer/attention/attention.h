// SPDX-License-Identifier: MIT
// The one interface of all attention modules. A new module: docs/adding-an-attention.md.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/attention/diagnostics.h"
#include "lotformer/config/config.h"
#include "lotformer/config/field.h"

namespace lotformer {

/// Transport plans behind a map, each of total mass 1, [B, H, r, N]: from queries to pivots, from pivots to keys; zero at padding
/// (except in `reference` modes). Undefined: the module has none.
struct TransportPlans {
  at::Tensor query, key;
};

/// What a survey of a module's own shape found and what it changed (see AttentionImpl::begin_survey).
struct Survey {
  Diagnostics numbers;                  ///< for the log
  std::vector<double> singular_values;  ///< of the map, descending, means over examples and heads
  struct Resized {
    std::string name;  ///< of a parameter of the module that has another shape now
    at::Tensor
        gradient_map;  ///< [H, new, old]: its gradient is this times the gradient of the old one, along axis 1
  };
  std::vector<Resized> resized;
};

/// Maps Q, K, V to an output of the same shape. Projections, head split and residual live in model/encoder.
///   q, k, v : [B, H, N, D], any strides with the last equal to 1, one dtype, one device; self-attention, same N for all three
///   lengths : int64 [B] on the same device; tokens [0, lengths[b]) are real, the rest is padding. Undefined: every token is real.
///   returns : [B, H, N, D]; padded rows are zero (except in `reference` modes). What stands in padding never influences anything.
class AttentionImpl : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& lengths) = 0;
  /// Numbers for research (train.diagnostics_every): what probe_attention finds, and what the module knows of its own.
  virtual Diagnostics diagnose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
    return probe_attention(*this, q, k, lengths);
  }
  /// For the training log (train.log_every): what solving took in the latest forward(q, k, ...), and how sharp its scores were. Empty for
  /// modules that solve nothing. May wait for the device.
  virtual Diagnostics solver_record(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
    (void)q, (void)k, (void)lengths;
    return {};
  }
  /// True where padded rows of q, k, v enter the result or padded rows of the output are not zero (`reference` modes): the encoder then
  /// computes padding like any other token. Else it may leave padding out and hand over zeros there.
  virtual bool padding_takes_part() const { return false; }

  /// The plans of a module that transports mass through pivots, in its present mode; q, k float32 or float64.
  virtual TransportPlans transport_plans(const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& lengths) const {
    (void)q, (void)k, (void)lengths;
    return {};
  }

  // A module may change its own shape during training (adaptive rank). After a step for which one is due the trainer begins a survey,
  // runs forward and backward passes over recent batches in evaluation mode, and ends it; what the module decides must be a function of
  // its parameters, these batches and `seed` alone, so that a resumed run decides the same.
  virtual bool survey_due(int64_t step) const {
    (void)step;
    return false;
  }
  virtual void begin_survey() {}
  virtual Survey end_survey(uint64_t seed) {
    (void)seed;
    return {};
  }
  /// Before stored tensors are copied into the module: takes their shapes, where it can change its own. `stored` finds a tensor by its
  /// name in the module, nullptr: not there.
  virtual void match_shapes(const std::function<const at::Tensor*(const std::string& name)>& stored) {
    (void)stored;
  }
};

struct AttentionShape {
  int64_t heads = 0;
  int64_t head_dim = 0;
  double dropout = 0;  ///< on attention weights; only softmax uses it
};

/// What the property suite must demand of a module with default options.
struct AttentionTraits {
  bool doubly_stochastic = false;  ///< rows and columns of the map sum to 1 (within marginal_tolerance)
  bool row_stochastic = false;
  bool linear_time = false;
  bool deterministic = true;
  double marginal_tolerance = 0;
};

/// One row of the table of modules.
struct AttentionSpec {
  std::string kind;
  AttentionTraits traits;
  std::unique_ptr<Options> (*options)();  ///< defaults
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
