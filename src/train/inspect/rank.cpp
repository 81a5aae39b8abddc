// SPDX-License-Identifier: MIT
#include "rank.h"

#include <ATen/ops/cross_entropy_loss.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diagnostics.h"
#include "lotformer/attention/capabilities/adaptive_rank.h"
#include "lotformer/core/rng.h"
#include "lotformer/core/text.h"
#include "lotformer/model/capabilities.h"
#include "lotformer/ops/autocast.h"
#include "train/score/evaluation_mode.h"

namespace lotformer {
namespace {

std::string prefix_of(size_t layer) {
  return concat("encoder.layer", layer, ".attention.");
}

/// The layers that want a survey after this step; nullptr for the others.
std::vector<AdaptiveRank*> due_layers(ClassifierImpl& model, int64_t step) {
  std::vector<AdaptiveRank*> layers = layers_as<AdaptiveRank>(model.encoder());
  for (AdaptiveRank*& layer : layers) {
    if (layer != nullptr && !layer->survey_due(step)) layer = nullptr;
  }
  return layers;
}

/// Forward and backward over one batch; every layer that is due sees the scores of its pass.
void survey_batch(Session& session, const Batch& batch, const std::vector<AdaptiveRank*>& due) {
  const ScoreObserver observer(*session.model);
  at::Tensor logits;
  {
    const ops::AutocastScope autocast(session.device.type(), autocast_type(session.precision));
    logits = session.model->forward(batch);
  }
  for (size_t i = 0; i < due.size(); ++i) {
    const LayerScores& seen = observer.layers()[i];
    if (due[i] != nullptr) due[i]->survey_batch(seen.q, seen.k, seen.lengths);
  }
  at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean).backward();
}

Json describe(const Survey& survey) {
  Json json = Json::object();
  for (const auto& [name, value] : survey.numbers) {
    if (value == std::floor(value)) {
      json[name] = static_cast<int64_t>(value);  // pivots and merges are counts
    } else {
      json[name] = value;
    }
  }
  if (!survey.singular_values.empty()) json["singular_values"] = survey.singular_values;
  return json;
}

}  // namespace

bool survey_due(ClassifierImpl& model, int64_t step) {
  const std::vector<AdaptiveRank*> due = due_layers(model, step);
  return std::any_of(due.begin(), due.end(), [](const AdaptiveRank* layer) { return layer != nullptr; });
}

Json adapt_ranks(Session& session, std::span<const Batch> batches, int64_t step, uint64_t seed,
                 AdamW& optimizer) {
  ClassifierImpl& model = *session.model;
  const EvaluationMode mode(model);
  const std::vector<AdaptiveRank*> due = due_layers(model, step);
  for (AdaptiveRank* layer : due) {
    if (layer != nullptr) layer->begin_survey();
  }
  optimizer.zero_grad();
  for (const Batch& batch : batches) survey_batch(session, batch, due);
  Json result = Json::object();
  for (size_t i = 0; i < due.size(); ++i) {
    if (due[i] == nullptr) continue;
    const Survey survey = due[i]->end_survey(mix_seeds(seed, i));
    for (const auto& [name, map] : survey.resized) optimizer.follow(prefix_of(i) + name, map);
    result[concat("layer", i)] = describe(survey);
  }
  optimizer.zero_grad();
  return result;
}

void match_shapes(ClassifierImpl& model, const TensorMap& tensors) {
  const std::vector<AdaptiveRank*> layers = layers_as<AdaptiveRank>(model.encoder());
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] == nullptr) continue;
    layers[i]->match_shapes([&, prefix = prefix_of(i)](const std::string& name) -> const at::Tensor* {
      const auto it = tensors.find(prefix + name);
      return it == tensors.end() ? nullptr : &it->second;
    });
  }
}

}  // namespace lotformer
