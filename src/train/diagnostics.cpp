// SPDX-License-Identifier: MIT
#include "lotformer/train/diagnostics.h"

#include <ATen/core/grad_mode.h>

#include "evaluation_mode.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/autocast.h"

namespace lotformer {
namespace {

/// Evaluation mode and no observers left behind, whatever happens.
class Observed {
 public:
  explicit Observed(ClassifierImpl& model) : model_(model), mode_(model) {}
  ~Observed() {
    for (const auto& layer : model_.encoder().layers()) layer->observe(nullptr);
  }
  Observed(const Observed&) = delete;
  Observed& operator=(const Observed&) = delete;

 private:
  ClassifierImpl& model_;
  EvaluationMode mode_;
};

}  // namespace

Observation observe_scores(Session& session, const Batch& batch) {
  ClassifierImpl& model = *session.model;
  const auto& layers = model.encoder().layers();
  const Observed observed(model);
  Observation seen;
  seen.layers.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->observe(
        [&slot = seen.layers[i]](const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
          slot = {q, k, lengths};
        });
  }
  const at::NoGradGuard no_grad;
  const ops::AutocastScope autocast(session.device.type(), autocast_type(session.precision));
  seen.logits = model.forward(batch);
  return seen;
}

Json diagnose_model(Session& session, const Batch& batch) {
  ClassifierImpl& model = *session.model;
  const auto& layers = model.encoder().layers();
  const std::vector<LayerScores> seen = observe_scores(session, batch).layers;
  const EvaluationMode mode(model);
  Json result = Json::object();
  for (size_t i = 0; i < layers.size(); ++i) {
    Json& numbers = result[concat("layer", i)] = Json::object();
    const at::Tensor q = seen[i].q.to(at::kFloat), k = seen[i].k.to(at::kFloat);
    for (const auto& [name, value] : layers[i]->attention().diagnose(q, k, seen[i].lengths)) {
      if (name.ends_with("[]")) {
        numbers[name.substr(0, name.size() - 2)].push_back(value);
      } else {
        numbers[name] = value;
      }
    }
  }
  return result;
}

}  // namespace lotformer
