// SPDX-License-Identifier: MIT
// Has training found anything that the best constant predictor does not know?
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/data/dataset.h"

namespace lotformer {

/// Always the same answer.
struct ConstantPredictor {
  int64_t label = 0;
  double accuracy = 0;
};
/// The most frequent class of `train` (the first of several), and what answering it always scores on `split`.
ConstantPredictor constant_predictor(const data::Dataset& train, const data::Dataset& split, int64_t classes);

/// Watches the training accuracy of a run: at step `after` its mean over the last quarter of these steps is
/// compared, once, with the best constant predictor. Its state belongs to the checkpoint, so that a resumed
/// run says the same.
class PlateauWatch {
 public:
  /// `after` 0: never.
  PlateauWatch(int64_t after, const ConstantPredictor& constant) : after_(after), constant_(constant) {}
  /// The steps since the last call, which end at `step`, answered `correct` of `examples` right. Returns what
  /// to tell the user where the time has come and the accuracy is not above that of the constant predictor by
  /// its own 95 % interval.
  std::optional<std::string> add(int64_t step, double correct, int64_t examples);
  Json state() const;
  /// A checkpoint of an earlier build has none: the watch then begins where the run goes on.
  void load_state(const Json& checkpoint, const std::string& where);

 private:
  int64_t after_;
  ConstantPredictor constant_;
  double correct_ = 0;
  int64_t examples_ = 0;
};

}  // namespace lotformer
