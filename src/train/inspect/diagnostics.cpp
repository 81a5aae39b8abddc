// SPDX-License-Identifier: MIT
#include "diagnostics.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/core/text.h"
#include "lotformer/model/capabilities.h"
#include "lotformer/ops/autocast.h"
#include "train/score/evaluation_mode.h"

namespace lotformer {
Json to_json(const Diagnostics& numbers) {
  Json json = Json::object();
  for (const auto& [name, value] : numbers) {
    if (name.ends_with("[]")) {
      json[name.substr(0, name.size() - 2)].push_back(value);
    } else {
      json[name] = value;
    }
  }
  return json;
}

ScoreObserver::ScoreObserver(ClassifierImpl& model) : model_(model) {
  const auto& layers = model.encoder().layers();
  seen_.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->observe(
        [&slot = seen_[i]](const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
          slot = {q.detach(), k.detach(), lengths};
        });
  }
}

ScoreObserver::~ScoreObserver() {
  for (const auto& layer : model_.encoder().layers()) layer->observe(nullptr);
}

Observation observe_scores(Session& session, const Batch& batch) {
  ClassifierImpl& model = *session.model;
  const EvaluationMode mode(model);
  const ScoreObserver observer(model);
  const at::NoGradGuard no_grad;
  const ops::AutocastScope autocast(session.device.type(), autocast_type(session.precision));
  const at::Tensor logits = model.forward(batch);
  return {observer.layers(), logits};
}

Json diagnose_model(Session& session, const Batch& batch) {
  ClassifierImpl& model = *session.model;
  const auto& layers = model.encoder().layers();
  const std::vector<LayerScores> seen = observe_scores(session, batch).layers;
  const EvaluationMode mode(model);
  Json result = Json::object();
  for (size_t i = 0; i < layers.size(); ++i) {
    const at::Tensor q = seen[i].q.to(at::kFloat), k = seen[i].k.to(at::kFloat);
    result[concat("layer", i)] = to_json(layers[i]->attention().diagnose(q, k, seen[i].lengths));
  }
  return result;
}

std::vector<LayerNumbers> solver_records(ClassifierImpl& model, const ScoreObserver& observer) {
  const std::vector<HasSolver*> layers = layers_as<HasSolver>(model.encoder());
  std::vector<LayerNumbers> result;
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerScores& seen = observer.layers()[i];
    if (layers[i] == nullptr || !seen.q.defined()) continue;
    const auto first = [&](const at::Tensor& x) {
      return x.narrow(0, 0, std::min<int64_t>(x.size(0), kDiagnosedExamples));
    };
    const at::Tensor q = first(seen.q).to(at::kFloat), k = first(seen.k).to(at::kFloat);
    DeviceDiagnostics numbers =
        layers[i]->solver_record(q, k, seen.lengths.defined() ? first(seen.lengths) : seen.lengths);
    if (!numbers.empty()) result.emplace_back(concat("layer", i), std::move(numbers));
  }
  return result;
}

}  // namespace lotformer
