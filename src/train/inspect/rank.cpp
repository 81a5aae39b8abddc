// SPDX-License-Identifier: MIT
#include "rank.h"

#include <ATen/ops/cross_entropy_loss.h>

#include <cmath>
#include <vector>

#include "lotformer/core/rng.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/autocast.h"
#include "train/score/evaluation_mode.h"

namespace lotformer {
namespace {

std::string prefix_of(size_t layer) {
  return concat("encoder.layer", layer, ".attention.");
}

/// The layers that want a survey after this step.
std::vector<size_t> due_layers(ClassifierImpl& model, int64_t step) {
  const auto& layers = model.encoder().layers();
  std::vector<size_t> due;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i]->attention().survey_due(step)) due.push_back(i);
  }
  return due;
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
  return !due_layers(model, step).empty();
}

Json adapt_ranks(Session& session, std::span<const Batch> batches, int64_t step, uint64_t seed,
                 AdamW& optimizer) {
  ClassifierImpl& model = *session.model;
  const EvaluationMode mode(model);
  const std::vector<size_t> due = due_layers(model, step);
  const auto attention = [&](size_t layer) -> AttentionImpl& {
    return model.encoder().layers()[layer]->attention();
  };
  for (const size_t i : due) attention(i).begin_survey();
  optimizer.zero_grad();
  for (const Batch& batch : batches) {
    at::Tensor logits;
    {
      const ops::AutocastScope autocast(session.device.type(), autocast_type(session.precision));
      logits = model.forward(batch);
    }
    at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean).backward();
  }
  Json result = Json::object();
  for (const size_t i : due) {
    const Survey survey = attention(i).end_survey(mix_seeds(seed, i));
    for (const auto& [name, map] : survey.resized) optimizer.follow(prefix_of(i) + name, map);
    result[concat("layer", i)] = describe(survey);
  }
  optimizer.zero_grad();
  return result;
}

void match_shapes(ClassifierImpl& model, const TensorMap& tensors) {
  const auto& layers = model.encoder().layers();
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->attention().match_shapes(
        [&, prefix = prefix_of(i)](const std::string& name) -> const at::Tensor* {
          const auto it = tensors.find(prefix + name);
          return it == tensors.end() ? nullptr : &it->second;
        });
  }
}

}  // namespace lotformer
