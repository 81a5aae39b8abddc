// SPDX-License-Identifier: MIT
// The table of attention modules. A new module is one row here with its include, and one line in the source
// list.
#include "lotformer/attention/attention.h"
#include "lotformer/attention/causal_pivot.h"
#include "lotformer/attention/controls.h"
#include "lotformer/attention/espformer.h"
#include "lotformer/attention/linear.h"
#include "lotformer/attention/lotformer.h"
#include "lotformer/attention/performer.h"
#include "lotformer/attention/sinkformer.h"
#include "lotformer/attention/softmax.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer {

const std::vector<AttentionSpec>& attention_specs() {
  static const std::vector<AttentionSpec> kSpecs = {
      attention_spec<SoftmaxOptions, SoftmaxAttentionImpl>(
          "softmax", {.row_stochastic = true, .float32_arithmetic = false}),
      attention_spec<PerformerOptions, PerformerAttentionImpl>("performer", {.row_stochastic = true}),
      attention_spec<SinkformerOptions, SinkformerAttentionImpl>("sinkformer", {.row_stochastic = true}),
      attention_spec<EspformerOptions, EspformerAttentionImpl>("espformer", {}),
      attention_spec<LotformerOptions, LotformerAttentionImpl>(
          "lotformer", {.doubly_stochastic = true, .row_stochastic = true}),
      attention_spec<LinearOptions, LinearAttentionImpl>("linear", {.row_stochastic = true}),
      attention_spec<CausalPivotOptions, CausalPivotAttentionImpl>(
          "causal_pivot", {.row_stochastic = true, .permutation_equivariant = false}),
      attention_spec<ControlOptions, MeanAttentionImpl>("mean",
                                                        {.doubly_stochastic = true, .row_stochastic = true}),
      attention_spec<ControlOptions, NoAttentionImpl>("none", {}),
  };
  return kSpecs;
}

const AttentionSpec& find_attention(const std::string& kind) {
  std::vector<std::string> names;
  for (const AttentionSpec& spec : attention_specs()) {
    if (spec.kind == kind) return spec;
    names.push_back(spec.kind);
  }
  throw Error(ErrorKind::usage,
              concat("model.attention.kind: ", quoted(kind), " is not one of ", join(names, ", ")));
}

AttentionKinds attention_kinds() {
  AttentionKinds kinds;
  for (const AttentionSpec& spec : attention_specs()) kinds.names.push_back(spec.kind);
  kinds.make = [](const std::string& kind) { return find_attention(kind).options(); };
  return kinds;
}

}  // namespace lotformer
