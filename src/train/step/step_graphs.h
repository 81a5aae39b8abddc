// SPDX-License-Identifier: MIT
// Training steps that run as graphs, one for every shape of a batch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "recording.h"
#include "training_step.h"

namespace lotformer {

enum class GraphPolicy { off, where_possible, required };
/// Of train.graph (auto | on | off) for a device.
GraphPolicy graph_policy(const std::string& graph, c10::Device device);

/// A step is done in the usual way the first times that its shape is seen, then recorded, then compared: the
/// recording and the usual way do the same step from the same state, and loss and gradient norm have to
/// agree. From there on it is played back. Where it cannot be recorded, or what is played back is another
/// step, all go on in the usual way, which is said once; with `required` that is an Error(device).
class StepGraphs {
 public:
  using MakeRecorder = std::unique_ptr<Recorder> (*)(c10::Device);
  using Work = std::function<StepSight(const std::vector<Batch>& chunks, bool look)>;
  /// `seed` sets the random numbers of the step at hand, and is called before each of its runs.
  /// `usually` does the step at hand in the usual way, that is seed() and TrainingStep::run.
  StepGraphs(TrainingStep& step, GraphPolicy policy, std::function<void()> seed, Work usually,
             MakeRecorder make_recorder = &lotformer::make_recorder);

  /// Does the step, by one way or the other. Steps that are looked at have recordings of their own.
  StepSight run(const std::vector<Batch>& chunks, bool look = false);
  /// Parameters have taken other shapes: all recordings are dropped.
  void forget();
  /// Whether steps may be played back.
  bool may_play_back() const { return policy_ != GraphPolicy::off; }
  /// Recordings in use.
  int64_t recordings() const;

  /// Relative difference of loss and norm up to which a recording is taken for the same step. Attention by
  /// torch's own kernels sums gradients in no fixed order.
  static constexpr double kAgreement = 1e-3;

 private:
  struct Known {
    int64_t seen = 0;
    std::vector<Batch> chunks;  // what the recording reads
    StepSight sight;            // where the recording writes what is seen of it
    bool refused = false;       // it has been tried
    std::unique_ptr<Recording> recording;
  };
  StepSight record_and_compare(Known& known, const std::vector<Batch>& chunks, bool look);
  std::string problem_of_recording(Known& known, const std::vector<Batch>& chunks, bool look,
                                   StepSight& sight);
  void give_up(const std::string& reason);

  TrainingStep& step_;
  std::function<void()> seed_;
  Work usually_;
  GraphPolicy policy_;
  MakeRecorder make_recorder_;
  std::unique_ptr<Recorder> recorder_;           // before its recordings
  std::map<std::vector<int64_t>, Known> known_;  // by `look` and the sizes of the chunks' tensors
};

}  // namespace lotformer
