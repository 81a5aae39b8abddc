// SPDX-License-Identifier: MIT
#include "pivot_pictures.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diagnostics.h"
#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/core/text.h"
#include "lotformer/data/png_writer.h"
#include "lotformer/model/capabilities.h"
#include "train/feed/loader.h"
#include "train/score/evaluation_mode.h"

namespace lotformer {
namespace {

constexpr int64_t kHeads = 4, kLeastHeight = 32;

/// A plan [r, n] as a picture: black is no mass, white the most of it; rows are repeated until they can be
/// seen.
void add_plan(EventFile& events, int64_t step, const std::string& tag, const at::Tensor& plan) {
  const int64_t pivots = plan.size(0), tokens = plan.size(1);
  const int64_t repeated = std::max<int64_t>(1, (kLeastHeight + pivots - 1) / pivots);
  const float most = std::max(plan.max().item<float>(), 1e-30f);
  const float* p = plan.const_data_ptr<float>();
  std::string pixels;
  for (int64_t y = 0; y < pivots * repeated; ++y) {
    for (int64_t x = 0; x < tokens; ++x)
      pixels += static_cast<char>(
          std::lround(255.0f * std::clamp(p[y / repeated * tokens + x] / most, 0.0f, 1.0f)));
  }
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(pixels.data()), pixels.size());
  const int64_t height = pivots * repeated;
  events.image(step, tag,
               data::encode_png(bytes, static_cast<uint32_t>(tokens), static_cast<uint32_t>(height)), tokens,
               height);
}

}  // namespace

void add_pivot_pictures(EventFile& events, Session& session, const data::Dataset& split, int64_t step) {
  const auto planners = layers_as<HasPlans>(session.model->encoder());
  if (split.size() == 0 ||
      std::all_of(planners.begin(), planners.end(), [](auto* p) { return p == nullptr; }))
    return;
  const at::NoGradGuard no_grad;
  const EvaluationMode mode(*session.model);  // plans to eval_tolerance, as validation has them
  const std::vector<int64_t> rows = {0};
  const Batch batch = make_batch(split, rows, session.config.data.pad_to, session.device);
  const auto seen = observe_scores(session, batch).layers;
  const int64_t tokens = split.length(0, 0);
  for (size_t l = 0; l < planners.size(); ++l) {
    if (planners[l] == nullptr || tokens == 0) continue;
    const TransportPlans plans =
        planners[l]->transport_plans(seen[l].q.to(at::kFloat), seen[l].k.to(at::kFloat), seen[l].lengths);
    const at::Tensor query =
        plans.query[0].narrow(-1, 0, std::min(tokens, plans.query.size(-1))).cpu().contiguous();
    const at::Tensor masses = (query.sum(-1) * query.size(1)).contiguous();
    const std::string layer = concat("layer", l);
    events.histogram(step, "pivot_masses/" + layer,
                     {masses.const_data_ptr<float>(), static_cast<size_t>(masses.numel())});
    for (int64_t h = 0; h < std::min(kHeads, query.size(0)); ++h)
      add_plan(events, step, concat("query_plan/", layer, "/head", h), query[h]);
  }
  events.flush();
}

}  // namespace lotformer
