// SPDX-License-Identifier: MIT
// Does it learn? Data from lotformer-data, the smoke configuration, lotformer-train: what the user would type.
#pragma once

#include <string>
#include <vector>

#include "cli/support.h"
#include "support/catch.h"

namespace lotformer::test {

struct LearningRun {
  std::string config;                 ///< lra/smoke/....yaml
  std::vector<std::string> generate;  ///< arguments of `lotformer-data generate` but --root
  std::vector<std::string> settings;  ///< --set KEY=VALUE
};

/// The run's results. Fails the test when a program does.
inline Json learn(const LearningRun& wanted) {
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
  return Json::parse(trained.out);
}

inline double test_accuracy(const Json& results) {
  return results.at("test").at("accuracy").get<double>();
}

}  // namespace lotformer::test
