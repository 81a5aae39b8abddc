// SPDX-License-Identifier: MIT
#include "lotformer/train/diagnostics.h"

#include <ATen/core/grad_mode.h>

#include "lotformer/core/text.h"
#include "lotformer/ops/autocast.h"

namespace lotformer {
namespace {

/// Evaluation mode and no observers left behind, whatever happens.
class Observed {
 public:
  explicit Observed(ClassifierImpl& model) : model_(model), training_(model.is_training()) { model_.eval(); }
  ~Observed() {
    for (const auto& layer : model_.encoder().layers()) layer->observe(nullptr);
    model_.train(training_);
  }
  Observed(const Observed&) = delete;
  Observed& operator=(const Observed&) = delete;

 private:
  ClassifierImpl& model_;
  bool training_;
};

struct Scores {
  at::Tensor q, k, lengths;
};

}  // namespace

Json diagnose_model(Session& session, const Batch& batch) {
  ClassifierImpl& model = *session.model;
  const auto& layers = model.encoder().layers();
  const Observed observed(model);
  std::vector<Scores> seen(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->observe(
        [&slot = seen[i]](const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) {
          slot = {q, k, lengths};
        });
  }
  {
    const at::NoGradGuard no_grad;
    const ops::AutocastScope autocast(session.device.type(), autocast_type(session.precision));
    model.forward(batch);
  }
  Json result = Json::object();
  for (size_t i = 0; i < layers.size(); ++i) {
    Json& numbers = result[concat("layer", i)] = Json::object();
    const at::Tensor q = seen[i].q.to(at::kFloat), k = seen[i].k.to(at::kFloat);
    for (const auto& [name, value] : layers[i]->attention().diagnose(q, k, seen[i].lengths))
      numbers[name] = value;
  }
  return result;
}

}  // namespace lotformer
