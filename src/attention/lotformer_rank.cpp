// SPDX-License-Identifier: MIT
// Adaptive rank of a LOTFormer layer: what a survey looks at and what it does with the pivots.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>

#include "lotformer/attention/lotformer.h"
#include "lotformer/core/rng.h"
#include "pivot_merging.h"

namespace lotformer {
namespace {

constexpr double kSplitOffset = 0.01;  // halves of a split pivot start this far apart, relative to its length
constexpr int64_t kMostGramEntries =
    int64_t{1} << 24;  // of one side, 128 MiB: many pivots are surveyed on fewer examples

/// What becomes of the pivots: new pivots from old ones.
struct Change {
  at::Tensor gradient_map;  // [H, new, old]
  at::Tensor offset;        // [H, new, D] or undefined: added to the new pivots
  double error = 0;
  int64_t merged = 0, split = 0;
};

/// All heads of a layer have the same rank: as many merges as every head can afford, each head its own pairs.
Change merge_change(const std::vector<Merges>& heads) {
  Change change;
  size_t count = heads.front().membership.size();
  for (const Merges& head : heads) count = std::min(count, head.membership.size());
  change.merged = static_cast<int64_t>(count);
  if (count == 0) return change;
  std::vector<at::Tensor> maps;
  for (const Merges& head : heads) {
    maps.push_back(head.membership[count - 1]);
    change.error = std::max(change.error, head.error[count - 1]);
  }
  change.gradient_map = at::stack(maps);
  return change;
}

/// One more pivot a head: the one whose mass is worth most becomes two halves. Each half gets half of the
/// gradient.
Change split_change(const at::Tensor& worth, const at::Tensor& pivots, uint64_t seed) {
  Change change;
  change.split = 1;
  const int64_t heads = pivots.size(0), rank = pivots.size(1), width = pivots.size(2);
  at::Tensor map = at::eye(rank, worth.options()).unsqueeze(0).repeat({heads, 1, 1});
  map = at::cat({map, at::zeros({heads, 1, rank}, map.options())}, 1);
  change.offset = at::zeros({heads, rank + 1, width}, map.options());
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor directions = at::randn({heads, width}, generator, map.options().device(at::kCPU));
  const at::Tensor best = worth.argmax(-1).cpu();
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t j = best.data_ptr<int64_t>()[h];
    map[h][j][j] = 0.5;
    map[h][rank][j] = 0.5;
    const at::Tensor direction = (directions[h] / directions[h].norm()).to(map.device());
    const at::Tensor step = direction * pivots[h][j].norm() * kSplitOffset;
    change.offset[h][j] = step;
    change.offset[h][rank] = -step;
  }
  change.gradient_map = map;
  return change;
}

/// Gram matrices sum_i a_i p_i p_i^T of a plan [1, H, r, N] with token masses 1 / N, float64.
at::Tensor gram_of(const at::Tensor& plan, int64_t tokens) {
  const at::Tensor p = plan.to(at::kDouble);
  return at::matmul(p, p.transpose(-2, -1)) * tokens;
}

}  // namespace

bool LotformerAttentionImpl::survey_due(int64_t step) const {
  const int64_t every = options_.adaptive_rank.every;
  return every > 0 && step > 0 && step % every == 0;
}

void LotformerAttentionImpl::begin_survey() {
  surveyed_ = {};
  surveyed_.logits = mass_logits(pivots).detach().clone().requires_grad_();
}

void LotformerAttentionImpl::survey_batch(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& lengths) {
  const at::NoGradGuard no_grad;
  const at::ScalarType type = computing_type(q);
  // One example at a time: plans are H r N, the only place in training where they are formed.
  for (int64_t b = 0; b < q.size(0); ++b) {
    const at::Tensor length = lengths.defined() ? lengths.narrow(0, b, 1) : at::Tensor();
    const int64_t tokens = lengths.defined() ? length.item<int64_t>() : q.size(2);
    if (tokens == 0) continue;
    const auto kept = static_cast<int64_t>(surveyed_.query_grams.size()) + 1;
    if (kept > 1 && kept * pivots.size(0) * pivots.size(1) * pivots.size(1) > kMostGramEntries) return;
    const auto of_example = [&](const at::Tensor& x) {
      return x.narrow(0, b, 1).narrow(2, 0, tokens).to(type);
    };
    const ops::PivotPlans both = plans(of_example(q), of_example(k), {});
    surveyed_.query_grams.push_back(gram_of(both.query, tokens));
    surveyed_.key_grams.push_back(gram_of(both.key, tokens));
  }
}

Survey LotformerAttentionImpl::end_survey(uint64_t seed) {
  const Surveyed seen = std::exchange(surveyed_, {});
  Survey survey;
  const at::NoGradGuard no_grad;
  const LotformerOptions::AdaptiveRank& rule = options_.adaptive_rank;
  const int64_t rank = pivots.size(1);
  const at::Tensor sigma = at::softmax(seen.logits.to(at::kDouble), -1);  // [H, r]
  at::Tensor slope = seen.logits.grad();
  slope = slope.defined() ? slope.to(at::kDouble).nan_to_num(0, 0, 0) : at::zeros_like(sigma);
  // No example had a token.
  if (seen.query_grams.empty()) return survey;
  const at::Tensor query = at::cat(seen.query_grams), key = at::cat(seen.key_grams);  // [E, H, r, r]

  const at::Tensor scale = sigma.clamp_min(kLeastPivotMass).rsqrt();
  const at::Tensor both_scales = scale.unsqueeze(-1) * scale.unsqueeze(-2);
  const at::Tensor values = map_singular_values(query * both_scales, key * both_scales);  // [E, H, r]
  const at::Tensor means = values.mean(at::IntArrayRef({0, 1})).cpu();
  survey.singular_values.assign(means.data_ptr<double>(), means.data_ptr<double>() + rank);
  std::vector<Merges> heads;
  for (int64_t h = 0; h < pivots.size(0); ++h)
    heads.push_back(plan_merges({query.select(1, h), key.select(1, h), sigma[h]}, rule.min, rule.budget));
  Change change = merge_change(heads);
  // d loss / d logit_j = sigma_j (d loss / d sigma_j - mean): what a little more mass is worth is the
  // negative slope.
  if (change.merged == 0 && rank < rule.max)
    change = split_change(-slope / sigma.clamp_min(kLeastPivotMass), pivots.to(at::kDouble), seed);
  if (change.gradient_map.defined()) {
    const at::Tensor shares =
        change.gradient_map * sigma.unsqueeze(1);  // mass that each new pivot has from each old one
    const at::Tensor masses = shares.sum(-1, /*keepdim=*/true);
    at::Tensor z = at::matmul(shares / masses.clamp_min(kLeastPivotMass), pivots.to(at::kDouble));
    if (change.offset.defined()) z = z + change.offset;
    const at::Tensor log_masses = masses.squeeze(-1).clamp_min(kLeastPivotMass).log();
    pivots.set_data(z.to(pivots.scalar_type()));
    pivot_logits.set_data(log_masses.to(pivot_logits.scalar_type()));
    survey.resized.push_back({"pivots", change.gradient_map});
    if (options_.masses == "learned") survey.resized.push_back({"pivot_logits", change.gradient_map});
  }
  survey.numbers = {{"pivots", static_cast<double>(pivots.size(1))},
                    {"merged", static_cast<double>(change.merged)},
                    {"split", static_cast<double>(change.split)},
                    {"merge_error", change.error},
                    {"effective_rank", effective_rank(values)}};
  return survey;
}

void LotformerAttentionImpl::match_shapes(
    const std::function<const at::Tensor*(const std::string& name)>& stored) {
  if (options_.adaptive_rank.every == 0) return;
  const at::Tensor* theirs = stored("pivots");
  const bool fits = theirs != nullptr && theirs->dim() == 3 && theirs->size(0) == pivots.size(0) &&
                    theirs->size(2) == pivots.size(2) && theirs->size(1) >= options_.adaptive_rank.min &&
                    theirs->size(1) <= options_.adaptive_rank.max;
  if (!fits || theirs->size(1) == pivots.size(1)) return;  // the copy that follows says what does not fit
  const at::NoGradGuard no_grad;
  const auto resize = [&](at::Tensor& mine, std::vector<int64_t> shape) {
    mine.set_data(at::zeros(shape, mine.options().requires_grad(false)));
    mine.mutable_grad() = at::Tensor();
  };
  resize(pivots, theirs->sizes().vec());
  resize(pivot_logits, {pivots.size(0), theirs->size(1)});
}

}  // namespace lotformer
