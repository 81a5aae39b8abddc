// SPDX-License-Identifier: MIT
#include "step_graphs.h"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

constexpr int64_t kUsualRuns = 2;        // of a shape before it is recorded
constexpr int64_t kMostRecordings = 64;  // further shapes run in the usual way

std::vector<at::Tensor> tensors_of(const Batch& batch) {
  return {batch.ids, batch.lengths, batch.labels, batch.positions};
}

/// Two lists of chunks with the same key differ in the values of their tensors alone.
std::vector<int64_t> key_of(const std::vector<Batch>& chunks, bool look) {
  std::vector<int64_t> key = {look ? 1 : 0};
  for (const Batch& batch : chunks) {
    key.push_back(batch.token_slots);
    for (const at::Tensor& tensor : tensors_of(batch)) {
      key.push_back(tensor.defined() ? tensor.dim() : -1);
      if (tensor.defined()) key.insert(key.end(), tensor.sizes().begin(), tensor.sizes().end());
    }
  }
  return key;
}

Batch copy_of(const Batch& batch) {
  const auto copy = [](const at::Tensor& t) { return t.defined() ? t.clone() : t; };
  return {copy(batch.ids), copy(batch.lengths), copy(batch.labels), copy(batch.positions), batch.token_slots};
}

void fill(std::vector<Batch>& to, const std::vector<Batch>& from) {
  for (size_t i = 0; i < to.size(); ++i) {
    const auto targets = tensors_of(to[i]), sources = tensors_of(from[i]);
    for (size_t k = 0; k < targets.size(); ++k) {
      if (targets[k].defined()) targets[k].copy_(sources[k], /*non_blocking=*/true);
    }
  }
}

/// Waits for the device.
double value(const at::Tensor& x) {
  return x.item<double>();
}

bool agree(double a, double b) {
  if (!std::isfinite(a) || !std::isfinite(b)) return std::isfinite(a) == std::isfinite(b);
  return std::abs(a - b) <= StepGraphs::kAgreement * std::max(std::abs(a), std::abs(b));
}

/// Values of tensors, to be put back.
class Snapshot {
 public:
  explicit Snapshot(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& tensor : tensors_) values_.push_back(tensor.detach().clone());
  }
  void restore() {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].copy_(values_[i]);
  }

 private:
  std::vector<at::Tensor> tensors_, values_;
};

}  // namespace

GraphPolicy graph_policy(const std::string& graph, c10::Device device) {
  if (graph == "on") return GraphPolicy::required;
  return graph == "auto" && device.is_cuda() ? GraphPolicy::where_possible : GraphPolicy::off;
}

StepGraphs::StepGraphs(TrainingStep& step, GraphPolicy policy, std::function<void()> seed, Work usually,
                       MakeRecorder make_recorder)
    : step_(step),
      seed_(std::move(seed)),
      usually_(std::move(usually)),
      policy_(policy),
      make_recorder_(make_recorder) {}

void StepGraphs::forget() {
  known_.clear();
  recorder_.reset();
}

int64_t StepGraphs::recordings() const {
  return std::count_if(known_.begin(), known_.end(),
                       [](const auto& item) { return item.second.recording != nullptr; });
}

StepSight StepGraphs::run(const std::vector<Batch>& chunks, bool look) {
  if (policy_ == GraphPolicy::off) return usually_(chunks, look);
  Known& known = known_[key_of(chunks, look)];
  if (known.recording) {
    fill(known.chunks, chunks);
    seed_();
    known.recording->replay();
    return known.sight;
  }
  if (known.refused || known.seen++ < kUsualRuns || recordings() >= kMostRecordings)
    return usually_(chunks, look);
  return record_and_compare(known, chunks, look);
}

StepSight StepGraphs::record_and_compare(Known& known, const std::vector<Batch>& chunks, bool look) {
  StepSight sight;
  const std::string problem = problem_of_recording(known, chunks, look, sight);  // and the step is done
  if (!problem.empty() && look && policy_ != GraphPolicy::required) {
    // The others are as good as they were.
    known = {};
    known.refused = true;
    log::warning(concat("train.graph: a shape of logged steps runs without a recording, because ", problem));
  } else if (!problem.empty()) {
    give_up(problem);
  } else if (recordings() == 1) {
    log::info("train.graph: steps are played back from recordings");
  }
  return sight;
}

std::string StepGraphs::problem_of_recording(Known& known, const std::vector<Batch>& chunks, bool look,
                                             StepSight& sight) {
  for (const Batch& batch : chunks) known.chunks.push_back(copy_of(batch));
  if (!recorder_) recorder_ = make_recorder_(step_.device());
  Snapshot before(step_.tensors());
  const at::Tensor sums = step_.window().sums();
  const auto outcome = [&sums, loss_before = value(sums[0]), norm_before = value(sums[2])] {
    return std::pair(value(sums[0]) - loss_before, value(sums[2]) - norm_before);
  };
  std::pair<double, double> played;
  try {
    seed_();
    known.recording =
        recorder_->record([this, &known, look] { known.sight = step_.run(known.chunks, look); });
    seed_();
    known.recording->replay();
    played = outcome();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    before.restore();
    sight = usually_(chunks, look);
    return concat("the step cannot be recorded: ", text.substr(0, text.find('\n')));
  } catch (...) {
    before.restore();  // whoever does the step again must find what it began with
    throw;
  }
  before.restore();
  sight = usually_(chunks, look);
  const auto [loss, norm] = outcome();
  if (agree(played.first, loss) && agree(played.second, norm)) return {};
  return concat("the recorded step is another: loss ", played.first, " and gradient norm ", played.second,
                " where ", loss, " and ", norm, " were expected");
}

void StepGraphs::give_up(const std::string& reason) {
  if (policy_ == GraphPolicy::required)
    throw Error(ErrorKind::device, concat("train.graph: on, but ", reason));
  policy_ = GraphPolicy::off;
  forget();
  log::warning(concat("train.graph: steps run without graphs, because ", reason));
}

}  // namespace lotformer
