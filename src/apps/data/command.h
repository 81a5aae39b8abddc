// SPDX-License-Identifier: MIT
// Subcommands of lotformer-data: one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/data/task.h"

namespace lotformer::data_program {

/// What runs when its subcommand was given; returns the exit code.
struct Command {
  CLI::App* app;
  std::function<int()> run;
};
Command add_generate(CLI::App& program);
Command add_check(CLI::App& program);
Command add_stats(CLI::App& program);
Command add_show(CLI::App& program);

/// The options that every subcommand has.
struct Target {
  std::string task;
  std::string root = data::DataOptions{}.root.string();
  std::string difficulty = data::DataOptions{}.difficulty;
  bool json = false;

  void add_to(CLI::App& command);
  /// For reading. `pathx` is pathfinder128.
  data::DataOptions options() const;
  /// Prints one of the two on stdout; with --json only the object.
  void print(const Json& object, const std::string& text) const;
};

/// "train", "val" or "test", checked before.
data::Split split_of(const std::string& name);

/// CLI11 validator: a whole number from 0 to 2^64 - 1 (CLI11 itself would wrap -1 and clamp 2^64).
std::string whole_number(const std::string& text);

}  // namespace lotformer::data_program
