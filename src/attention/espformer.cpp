// SPDX-License-Identifier: MIT
#include "lotformer/attention/espformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"

namespace lotformer {
namespace {

constexpr double kFill = 1e18;  // what the published mask path writes over padding

/// [H, L, D]: for each head blocks of at most D orthonormal rows, uniformly distributed.
at::Tensor orthonormal_directions(int64_t heads, int64_t count, int64_t dim) {
  std::vector<at::Tensor> blocks;
  for (int64_t first = 0; first < count; first += dim) {
    const auto [q, r] = at::linalg_qr(at::randn({heads, dim, dim}));
    // Signs of the diagonal of R make Q unique, and so uniform over the orthogonal group.
    const at::Tensor uniform = q * r.diagonal(0, 1, 2).sign().unsqueeze(1);
    blocks.push_back(uniform.transpose(1, 2).narrow(1, 0, std::min(dim, count - first)));
  }
  return at::cat(blocks, 1).contiguous();
}

}  // namespace

void EspformerOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "mode",
                 .help = "masked: real tokens only; reference: padding takes part, as published; "
                         "reference_fill: published mask path, padding overwritten by 1e18",
                 .choices = {"masked", "reference", "reference_fill"}},
                mode);
  visitor.field({.key = "tau",
                 .help = "temperature of the soft sort, in squared units of q / sqrt(head_dim)",
                 .range = {.low = 0, .low_open = true}},
                tau);
  visitor.field(
      {.key = "inverse_temperature",
       .help = "of the mixture over slices, per unit of transport cost; 0: plain mean, and no costs",
       .range = {.low = 0}},
      inverse_temperature);
  visitor.field(
      {.key = "slices",
       .help = "axes: one slice a coordinate, as published; learned: directions as parameters; given: "
               "fixed directions, random orthonormal unless set",
       .choices = {"axes", "learned", "given"}},
      slices);
  visitor.field({.key = "slice_count",
                 .help = "slices: learned or given, number of directions; 0: head_dim",
                 .range = {.low = 0, .high = 4096}},
                slice_count);
  visitor.field(
      {.key = "weights",
       .help = "costs of the slices: exact, O(N^2) a slice; sampled: unbiased, from weight_samples queries",
       .choices = {"exact", "sampled"}},
      weights);
  visitor.field({.key = "weight_samples",
                 .help = "weights: sampled only, queries drawn for each sequence and head",
                 .range = {.low = 1, .high = 1 << 20}},
                weight_samples);
  visitor.field({.key = "hard", .help = "tau -> 0: exact transport by sorting, O(N log N) a slice"}, hard);
}

std::vector<Conflict> EspformerOptions::conflicts() const {
  std::vector<Conflict> found;
  if (slices == "axes" && slice_count != 0) {
    found.push_back({{"slice_count", "slices"},
                     concat("slice_count ", slice_count,
                            " needs slices learned or given; axes has head_dim slices (slice_count 0)")});
  }
  if (slices == "learned" && hard) {
    found.push_back(
        {{"slices", "hard"}, "slices learned needs hard false; a sort has no derivative by its directions"});
  }
  return found;
}

EspformerAttentionImpl::EspformerAttentionImpl(const EspformerOptions& options, const AttentionShape& shape)
    : AttentionImpl("espformer"), options_(options) {
  require_no_conflict(options, "model.attention");
  if (options_.slices == "axes") return;
  const bool learned = options_.slices == "learned";
  const int64_t count = options_.slice_count > 0 ? options_.slice_count : shape.head_dim;
  const at::Tensor start = orthonormal_directions(shape.heads, count, shape.head_dim);
  directions = learned ? register_parameter("directions", start) : register_buffer("directions", start);
}

at::Tensor EspformerAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const at::Tensor& lengths) {
  // In float32 at least: tau is smaller than the spacing of bf16 values.
  const ops::SlicedInputs sliced = inputs(q, k, v, lengths);
  return options_.hard ? ops::sliced_attention_hard(sliced, sliced_options())
                       : ops::sliced_attention(sliced, sliced_options());
}

ops::SlicedOptions EspformerAttentionImpl::sliced_options() const {
  ops::SlicedOptions sliced;
  sliced.tau = options_.tau;
  sliced.inverse_temperature = options_.inverse_temperature;
  if (options_.weights == "sampled") {
    sliced.cost_rows = options_.weight_samples;
    // Evaluation repeats one choice; training draws a new one at every call.
    if (is_training())
      sliced.seed = static_cast<uint64_t>(at::empty({}, at::kLong).random_().item<int64_t>());
  }
  return sliced;
}

ops::SlicedInputs EspformerAttentionImpl::inputs(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& lengths) const {
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  at::Tensor x = q * scale, y = k * scale;
  if (options_.mode == "reference_fill" && lengths.defined()) {
    const at::Tensor padded =
        ops::length_mask(lengths, q.size(2)).logical_not().unsqueeze(1).unsqueeze(-1);  // [B, 1, N, 1]
    x = x.masked_fill(padded, kFill);
    y = y.masked_fill(padded, kFill);
  }
  const at::Tensor visible = options_.mode == "masked" ? lengths : at::Tensor();
  if (!directions.defined()) return {x, y, v, x, y, visible};
  // NaN in padding must not reach the gradient of the directions.
  const at::Tensor mask = ops::length_mask(visible, q.size(2));
  x = ops::select_real_tokens(x, mask);
  y = ops::select_real_tokens(y, mask);
  const at::Tensor to_slices = directions.to(x.scalar_type()).transpose(1, 2);  // [H, D, L]
  return {x, y, v, at::matmul(x, to_slices), at::matmul(y, to_slices), visible};
}

EspformerAttentionImpl::Sums EspformerAttentionImpl::sums(const at::Tensor& q, const at::Tensor& k,
                                                          const at::Tensor& lengths) const {
  at::NoGradGuard no_grad;
  const at::Tensor ones = at::ones_like(q.narrow(3, 0, 1));
  ops::SlicedOptions exact = sliced_options();
  exact.cost_rows = 0;
  const auto transport = options_.hard ? &ops::sliced_attention_hard : &ops::sliced_attention;
  // The transposed map is the map of the sides exchanged: the plans are U^T V, and the costs are symmetric.
  return {transport(inputs(q, k, ones, lengths), exact).squeeze(3),
          transport(inputs(k, q, ones, lengths), exact).squeeze(3)};
}

}  // namespace lotformer
