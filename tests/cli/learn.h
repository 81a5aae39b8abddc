// SPDX-License-Identifier: MIT
// Does it learn? Data from lotformer-data, the smoke configuration, lotformer-train: what the user would
// type. And what a predictor of one number tells about the same data.
#pragma once

#include <string>
#include <vector>

#include "cli/support.h"
#include "cli/trivial.h"
#include "support/catch.h"

namespace lotformer::test {

struct LearningRun {
  /// lra/smoke/....yaml.
  std::string config;
  /// Arguments of `lotformer-data generate` but --root, --task first.
  std::vector<std::string> generate;
  /// --set KEY=VALUE.
  std::vector<std::string> settings;
  /// Pathfinder.
  std::string difficulty = "hard";
};

struct Learned {
  /// Of the test split: best checkpoint, last checkpoint.
  double accuracy = 0, loss = 0;
  /// On the same data.
  std::vector<Trivial> trivial;
};

inline std::string describe(const Learned& learned) {
  std::string text = "test accuracy " + std::to_string(learned.accuracy);
  for (const Trivial& one : learned.trivial) text += "; " + one.name + " " + std::to_string(one.accuracy);
  return text;
}

/// Fails the test when a program does.
inline Learned learn(const LearningRun& wanted) {
  const TemporaryFolder folder;
  const std::string data = (folder.path() / "data").string();
  Command generate{.program = "lotformer-data", .arguments = {"generate", "--root", data}};
  generate.arguments.insert(generate.arguments.end(), wanted.generate.begin(), wanted.generate.end());
  const Finished made = run(generate);
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  Command train{.program = "lotformer-train",
                .arguments = {"--config", wanted.config, "--device", "cpu", "--json", "--run-dir",
                              (folder.path() / "run").string(), "--set", "data.root=" + data}};
  for (const std::string& setting : wanted.settings)
    train.arguments.insert(train.arguments.end(), {"--set", setting});
  const Finished trained = run(train);
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  const Json results = Json::parse(trained.out);
  data::DataOptions options;
  options.root = data;
  options.difficulty = wanted.difficulty;
  return {results.at("test").at("accuracy").get<double>(),
          results.at("last").at("test").at("loss").get<double>(),
          trivial_predictors(wanted.generate.at(1), options)};
}

}  // namespace lotformer::test
