// SPDX-License-Identifier: MIT
#include "lotformer/attention/diagnostics.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/xlogy.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "lotformer/attention/attention.h"
#include "lotformer/ops/lengths.h"

namespace lotformer {
namespace {

constexpr uint64_t kSketchSeed = 20;

/// Maps applied from the left and from the right: out = M v, and M^T u by differentiating <u, M v>.
class Probe {
 public:
  Probe(AttentionImpl& module, const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths)
      : v_(at::ones_like(q, at::MemoryFormat::Contiguous).requires_grad_()),
        out_(module.forward(q, k, v_, lengths)) {}
  at::Tensor row_sums() const { return out_.detach().select(-1, 0); }  // [B, H, N]
  at::Tensor transposed(const at::Tensor& u) const {
    if (!out_.requires_grad()) return at::zeros_like(u);  // a module that does not look at V
    const auto gradient = torch::autograd::grad({out_}, {v_}, {u}, /*retain_graph=*/true, false, true);
    return gradient[0].defined() ? gradient[0] : at::zeros_like(u);
  }

 private:
  at::Tensor v_, out_;
};

double largest_error(const at::Tensor& sums, const at::Tensor& mask) {
  const at::Tensor error = (sums - 1).abs();  // [B, H, N]
  return (mask.defined() ? error.masked_fill(mask.logical_not().unsqueeze(1), 0) : error)
      .max()
      .item<double>();
}

/// Channel c carries row floor(c n / D) of each sequence.
double mean_entropy(const Probe& probe, const at::Tensor& q, const at::Tensor& counts) {
  const int64_t width = q.size(3);
  const at::Tensor rows =
      (at::arange(width, counts.options()).unsqueeze(0) * counts.unsqueeze(1)).floor_divide(width);  // [B, D]
  at::Tensor u = at::zeros_like(q, at::MemoryFormat::Contiguous);
  u.scatter_(2, rows.view({q.size(0), 1, 1, width}).expand({q.size(0), q.size(1), 1, width}), 1);
  at::Tensor map = probe.transposed(u).clamp_min(0);  // [B, H, N, D], a row of the map in each channel
  const at::Tensor sums = map.sum(2, /*keepdim=*/true);
  map = map / sums.clamp_min(1e-30);
  return -at::xlogy(map, map).sum(2).mean().item<double>();
}

double sketched_rank(AttentionImpl& module, const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& lengths) {
  at::NoGradGuard no_grad;
  const at::Tensor sketch =
      at::randn(q.sizes(), at::detail::createCPUGenerator(kSketchSeed), q.options().device(at::kCPU))
          .to(q.device());
  return effective_rank(at::linalg_svdvals(module.forward(q, k, sketch, lengths).to(at::kDouble)));
}

}  // namespace

Diagnostics read_numbers(const DeviceDiagnostics& numbers) {
  Diagnostics values;
  for (const auto& [name, value] : numbers) values.emplace_back(name, value.item<double>());
  return values;
}

double effective_rank(const at::Tensor& singular_values) {
  if (singular_values.numel() == 0) return 0;
  const at::Tensor values = singular_values.to(at::kDouble).clamp_min(0);
  const at::Tensor p = values / values.sum(-1, /*keepdim=*/true).clamp_min(1e-300);
  return (-at::xlogy(p, p).sum(-1)).exp().mean().item<double>();
}

Diagnostics probe_attention(AttentionImpl& module, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& lengths) {
  const at::AutoGradMode grad(true);
  at::Tensor queries = q.detach(), keys = k.detach(), real = lengths;
  if (lengths.defined()) {
    const at::Tensor kept = lengths.gt(0).nonzero().squeeze(1);  // a sequence without a token has no map
    queries = queries.index_select(0, kept);
    keys = keys.index_select(0, kept);
    real = lengths.index_select(0, kept);
  }
  if (queries.numel() == 0) return {};
  const int64_t batch = queries.size(0), tokens = queries.size(2);
  const at::Tensor mask = ops::length_mask(real, tokens);
  const at::Tensor counts =
      real.defined() ? real : at::arange(batch, queries.options().dtype(at::kLong)).fill_(tokens);
  const Probe probe(module, queries, keys, real);
  at::Tensor ones = at::zeros_like(queries, at::MemoryFormat::Contiguous);
  ones.select(-1, 0).fill_(1);
  return {{"row_error", largest_error(probe.row_sums(), mask)},
          {"column_error",
           largest_error(probe.transposed(ops::select_real_tokens(ones, mask)).select(-1, 0), mask)},
          {"entropy", mean_entropy(probe, queries, counts)},
          {"entropy_limit", counts.to(at::kDouble).log().mean().item<double>()},
          {"effective_rank", sketched_rank(module, queries, keys, real)}};
}

}  // namespace lotformer
