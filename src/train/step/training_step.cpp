// SPDX-License-Identifier: MIT
#include "training_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include "lotformer/ops/autocast.h"
#include "lotformer/ops/profile_range.h"

namespace lotformer {

BatchGradients accumulate_gradients(Session& s, const std::vector<Batch>& chunks,
                                    const at::Tensor& loss_scale, SolverTally* transport) {
  const int64_t total = s.config.train.batch_size;
  BatchGradients sums;
  for (const Batch& batch : chunks) {
    at::Tensor logits;
    {
      const ops::AutocastScope autocast(s.device.type(), autocast_type(s.precision));
      const ops::ProfileRange range("forward");
      logits = s.model->forward(batch);
    }
    if (transport != nullptr) transport->add(*s.model);
    // The sum, not the mean, so that chunks of unequal size weigh by their examples.
    const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum);
    const at::Tensor scaled = loss / total;
    {
      const ops::ProfileRange range("backward");
      (loss_scale.defined() ? scaled * loss_scale : scaled).backward();
    }
    const at::Tensor correct = logits.detach().argmax(1).eq(batch.labels).sum();
    const bool first = !sums.loss_sum.defined();
    sums.loss_sum = first ? loss.detach() : sums.loss_sum + loss.detach();
    sums.correct = first ? correct : sums.correct + correct;
  }
  return sums;
}

namespace {

/// Non-finite steps in a row that end a run: the first, unless steps are to be left out.
int64_t skip_limit(const TrainConfig& config) {
  return config.on_nonfinite == "skip" ? config.nonfinite_limit : 1;
}

}  // namespace

TrainingStep::TrainingStep(Session& session)
    : session_(session),
      optimizer_(named_parameters(*session.model), session.config.train),
      scaler_(session.precision == "fp16", session.device),
      window_(session.device),
      watch_(session.device, skip_limit(session.config.train)) {}

void TrainingStep::prepare(int64_t number, double lr) {
  watch_.set_step(number);
  optimizer_.set_lr(lr);
}

BatchGradients TrainingStep::gradients(const std::vector<Batch>& chunks, StepSight& sight, bool look) {
  optimizer_.zero_grad();
  if (!look) return accumulate_gradients(session_, chunks, scaler_.scale(), &sight.transport);
  const ScoreObserver observer(*session_.model);
  BatchGradients sums = accumulate_gradients(session_, chunks, scaler_.scale(), &sight.transport);
  sight.solver = solver_records(*session_.model, observer);
  return sums;
}

/// Processes bring different parts of the batch; from here on all have the gradients of the whole.
void TrainingStep::add_up(BatchGradients& sums) {
  const World& world = *session_.world;
  if (world.alone()) return;
  const ops::ProfileRange range("add up");
  world.sum(optimizer_.all_gradients());
  const at::Tensor counts = at::stack({sums.loss_sum.to(at::kDouble), sums.correct.to(at::kDouble)});
  world.sum(counts);
  sums.loss_sum = counts[0].to(sums.loss_sum.scalar_type());
  sums.correct = counts[1].to(sums.correct.scalar_type());
}

StepSight TrainingStep::run(const std::vector<Batch>& chunks, bool look) {
  StepSight sight;
  update(gradients(chunks, sight, look));
  return sight;
}

void TrainingStep::update(BatchGradients sums) {
  add_up(sums);
  const at::Tensor norm = optimizer_.grad_norm(scaler_.scale());
  const at::Tensor found_inf = watch_.observe(sums.loss_sum, norm, scaler_.scale());
  optimizer_.step(norm, scaler_.scale(), found_inf);
  // A loss that is not finite says nothing of the scale, which only gradients feel.
  if (scaler_.enabled()) scaler_.update(found_inf * at::isfinite(sums.loss_sum));
  window_.add(sums.loss_sum, sums.correct, norm);
}

std::vector<at::Tensor> TrainingStep::tensors() const {
  std::vector<at::Tensor> all = optimizer_.tensors();
  const auto add = [&all](const std::vector<at::Tensor>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  for (const auto& buffer : session_.model->named_buffers()) all.push_back(buffer.value());
  add(scaler_.tensors());
  add(watch_.state());
  all.push_back(window_.sums());
  return all;
}

}  // namespace lotformer
