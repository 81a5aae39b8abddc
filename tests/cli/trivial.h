// SPDX-License-Identifier: MIT
// What can be told without a model: predictors of one number of an example, learned on the training split and
// scored on the test split. A learning test that asks for less than these proves little.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lotformer/data/task.h"

namespace lotformer::test {

struct Trivial {
  std::string name;
  /// Of the test split, in [0, 1].
  double accuracy = 0;
};

/// Predictors of the task: for all the most frequent class; of ListOps and texts lengths, the most frequent
/// token and the first (ListOps: the root operator), of pairs whether they agree in one of these; of pictures
/// the mean and the spread of the grey values, of Pathfinder the number of pixels that are not black and the
/// distance of the two discs, too.
std::vector<Trivial> trivial_predictors(const std::string& task, const data::DataOptions& options);

inline const std::string kDiscDistance = "distance of the discs";

/// The best of them, but for the one called `except`.
Trivial best_trivial(const std::vector<Trivial>& predictors, const std::string& except = "");
/// The one of this name.
Trivial trivial_called(const std::vector<Trivial>& predictors, const std::string& name);

}  // namespace lotformer::test
