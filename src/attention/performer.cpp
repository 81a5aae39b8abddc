// SPDX-License-Identifier: MIT
#include "lotformer/attention/performer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"
#include "lotformer/ops/random_features.h"

namespace lotformer {

void PerformerOptions::visit(FieldVisitor& visitor) {
  visitor.field(
      {.key = "mode",
       .help = "masked: FAVOR+ over real tokens; favor: with the published small constant and one "
               "stabiliser a batch; reference: published code, scale applied twice, padding in the sums",
       .choices = {"masked", "favor", "reference"}},
      mode);
  visitor.field(
      {.key = "features", .help = "number m of random features", .range = {.low = 1, .high = 65536}},
      features);
  visitor.field(
      {.key = "kernel",
       .help = "softmax: positive features of the softmax kernel; relu: generalised attention (mode masked)",
       .choices = {"softmax", "relu"}},
      kernel);
  visitor.field({.key = "redraw_every",
                 .help = "training calls after which a new projection is drawn; 0: never",
                 .range = {.low = 0, .high = 1e9}},
                redraw_every);
}

std::vector<Conflict> PerformerOptions::conflicts() const {
  if (kernel != "relu" || mode == "masked") return {};
  return {{{"kernel", "mode"}, concat("kernel relu needs mode masked, not ", mode)}};
}

PerformerAttentionImpl::PerformerAttentionImpl(const PerformerOptions& options, const AttentionShape& shape)
    : AttentionImpl("performer"), options_(options) {
  require_no_conflict(options, "model.attention");
  projection = register_buffer("projection", ops::orthogonal_projection(options_.features, shape.head_dim));
  calls_ = register_buffer("calls", at::zeros({}, at::kLong));
}

void PerformerAttentionImpl::redraw_if_due() {
  if (!is_training() || options_.redraw_every == 0) return;
  const at::NoGradGuard no_grad;
  const int64_t calls = calls_.item<int64_t>();
  if (calls > 0 && calls % options_.redraw_every == 0) {
    projection.copy_(ops::orthogonal_projection(projection.size(0), projection.size(1)));
  }
  calls_.fill_(calls + 1);
}

at::Tensor PerformerAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const at::Tensor& lengths) {
  redraw_if_due();
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));
  if (options_.mode == "reference") {
    const double scale = std::pow(static_cast<double>(q.size(3)), -0.25);
    // Padded keys become zero vectors and stay in the denominator.
    return ops::favor_attention_published(q * scale, ops::select_real_tokens(k, mask) * scale,
                                          ops::select_real_tokens(v, mask), projection, {});
  }
  if (options_.mode == "favor") return ops::favor_attention_published(q, k, v, projection, mask);
  const auto attention = options_.kernel == "relu" ? &ops::relu_feature_attention : &ops::favor_attention;
  return attention(q, k, v, projection, mask);
}

}  // namespace lotformer
