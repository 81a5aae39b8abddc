// SPDX-License-Identifier: MIT
#include "plateau.h"

#include <algorithm>
#include <vector>

#include "lotformer/core/text.h"
#include "train/run/results.h"

namespace lotformer {

ConstantPredictor constant_predictor(const data::Dataset& train, const data::Dataset& split,
                                     int64_t classes) {
  const auto counts = [classes](const data::Dataset& of) {
    std::vector<int64_t> count(static_cast<size_t>(classes), 0);
    for (int64_t row = 0; row < of.size(); ++row) ++count.at(static_cast<size_t>(of.label(row)));
    return count;
  };
  const std::vector<int64_t> seen = counts(train);
  const int64_t label = std::max_element(seen.begin(), seen.end()) - seen.begin();
  const auto right = static_cast<double>(counts(split).at(static_cast<size_t>(label)));
  return {label, split.size() > 0 ? right / static_cast<double>(split.size()) : 0.0};
}

std::optional<std::string> PlateauWatch::add(int64_t step, double correct, int64_t examples) {
  if (after_ == 0 || step <= after_ - std::max<int64_t>(1, after_ / 4)) return std::nullopt;
  if (examples_ < 0) return std::nullopt;  // judged already
  correct_ += correct;
  examples_ += examples;
  if (step < after_ || examples_ == 0) return std::nullopt;
  const double accuracy = correct_ / static_cast<double>(examples_);
  const bool stuck = wilson_interval(accuracy, examples_).first <= constant_.accuracy;
  const std::string seen = format_count(examples_);
  examples_ = -1;
  if (!stuck) return std::nullopt;
  const auto percent = [](double x) { return format_fixed(100 * x, 1) + " %"; };
  return concat("step ", step, ": training accuracy is ", percent(accuracy), " over the latest ", seen,
                " examples, and always answering class ", constant_.label, " scores ",
                percent(constant_.accuracy),
                ": attention has not yet found anything. Worth trying: a larger train.lr (1e-3), learned "
                "model.attention.token_masses or another model.pooling, more steps; docs/troubleshooting.md, "
                "'It does not learn', says what is known");
}

Json PlateauWatch::state() const {
  return {{"correct", correct_}, {"examples", examples_}};
}

void PlateauWatch::load_state(const Json& checkpoint, const std::string& where) {
  if (!checkpoint.contains("plateau")) return;
  const Json& own = checkpoint.at("plateau");
  correct_ = json_get<double>(own, "correct", where, ErrorKind::checkpoint);
  examples_ = json_get<int64_t>(own, "examples", where, ErrorKind::checkpoint);
}

}  // namespace lotformer
