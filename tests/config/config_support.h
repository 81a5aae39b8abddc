// SPDX-License-Identifier: MIT
// Attention modules that exist only here, a folder to work in, and the error text of a load.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "lotformer/config/load.h"
#include "lotformer/core/text.h"
#include "lotformer/data/task.h"
#include "support/catch.h"

namespace lotformer::test {

struct FakeSoftmax final : Options {
  std::string mode = "masked";
  void visit(FieldVisitor& visitor) override {
    visitor.field({.key = "mode", .help = "arithmetic", .choices = {"masked", "reference"}}, mode);
  }
};

struct FakeLotformer final : Options {
  std::string mode = "exact";
  int64_t pivots = 32;
  double epsilon = 0.1;
  int64_t half_iterations = 40;  // not the published 50, so that the protocol's effect shows
  double tolerance = 1e-4;
  double eval_tolerance = 1e-6;
  int64_t max_passes = 32;
  std::string masses = "uniform";
  std::string pivot_init = "0.02";
  std::string token_masses = "uniform";
  double token_mass_spread = 0;
  std::string core = "auto";
  void visit(FieldVisitor& visitor) override {
    visitor.field({.key = "mode", .help = "arithmetic", .choices = {"reference", "truncated", "exact"}},
                  mode);
    visitor.field({.key = "pivots", .help = "rank", .range = {.low = 1, .high = 1024}}, pivots);
    visitor.field({.key = "epsilon", .help = "regularisation", .range = {.low = 0, .low_open = true}},
                  epsilon);
    visitor.field({.key = "half_iterations", .help = "T", .range = {.low = 1, .high = 100000}},
                  half_iterations);
    visitor.field({.key = "tolerance", .help = "in training", .range = {.low = 0, .low_open = true}},
                  tolerance);
    visitor.field({.key = "eval_tolerance", .help = "in evaluation", .range = {.low = 0, .low_open = true}},
                  eval_tolerance);
    visitor.field({.key = "max_passes", .help = "bound on passes", .range = {.low = 1}}, max_passes);
    visitor.field({.key = "masses", .help = "of pivots", .choices = {"uniform", "learned"}}, masses);
    visitor.field({.key = "pivot_init", .help = "first pivots", .choices = {"0.02", "unit_score"}},
                  pivot_init);
    visitor.field({.key = "token_masses", .help = "of tokens"}, token_masses);
    visitor.field({.key = "token_mass_spread", .help = "their start"}, token_mass_spread);
    visitor.field({.key = "core", .help = "implementation", .choices = {"auto", "aten"}}, core);
  }
  std::vector<Conflict> conflicts() const override {
    std::vector<Conflict> found;
    if (mode == "reference" && masses == "learned") found.push_back({{"masses", "mode"}, "learned masses"});
    if (eval_tolerance > tolerance) found.push_back({{"eval_tolerance", "tolerance"}, "tolerances"});
    return found;
  }
};

/// The modules above, and the tasks that there are.
inline Kinds fake_kinds() {
  AttentionKinds kinds;
  kinds.names = {"softmax", "lotformer"};
  kinds.make = [](const std::string& kind) -> std::unique_ptr<Options> {
    if (kind == "softmax") return std::make_unique<FakeSoftmax>();
    return std::make_unique<FakeLotformer>();
  };
  return {kinds, data::task_kinds()};
}

/// A fresh folder that is the working directory while it lives.
class Workspace {
 public:
  Workspace() : before_(std::filesystem::current_path()) {
    static int count = 0;
    folder_ = std::filesystem::canonical(std::filesystem::temp_directory_path()) /
              concat("lotformer-config-", ::getpid(), "-", count++);
    std::filesystem::create_directories(folder_);
    std::filesystem::current_path(folder_);
    ::unsetenv("LOTFORMER_CONFIG_DIR");
  }
  ~Workspace() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
    std::filesystem::remove_all(folder_, ignored);
  }
  const std::filesystem::path& folder() const { return folder_; }
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return name;
  }

 private:
  std::filesystem::path before_, folder_;
};

/// Loads `text` as x.yaml in a fresh workspace.
inline Config load_text(const std::string& text, const std::vector<std::string>& assignments = {}) {
  Workspace workspace;
  return load_config({workspace.write("x.yaml", text), assignments}, fake_kinds());
}

/// Message of the error that `action` must throw, of the kind wanted; "" fails the test.
template <class Action>
std::string error_of(const Action& action, ErrorKind kind = ErrorKind::usage) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  FAIL_CHECK("no error");
  return "";
}

inline std::string load_error(const std::string& text, const std::vector<std::string>& assignments = {}) {
  return error_of([&] { load_text(text, assignments); });
}

inline const FakeLotformer& lotformer_options(const Config& config) {
  return dynamic_cast<const FakeLotformer&>(*config.attention);
}

}  // namespace lotformer::test
