// SPDX-License-Identifier: MIT
// Subcommands of lotformer-data: one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "apps/command_line.h"
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

/// What to open, and how.
struct Source {
  std::string task;
  data::DataOptions options;
};

/// The options that every subcommand has.
struct Target {
  std::string task;
  std::string root = data::DataOptions{}.root;
  std::string difficulty = data::DataOptions{}.difficulty;
  std::string config;
  std::vector<std::string> assignments;
  bool json = false;

  void add_to(CLI::App& command);
  /// --config and --set, for the subcommands that read data as a configuration says.
  void add_configuration(CLI::App& command);
  /// For reading: the configuration's data section, then --set, then --task, --root and --difficulty where
  /// they are given. Error(usage) when neither --task nor a configuration names the task.
  Source source() const;
  /// Prints one of the two on stdout; with --json only the object.
  void print(const Json& object, const std::string& text) const;

 private:
  const CLI::App* command_ = nullptr;
};

/// What may stand for TASK, CONFIG and KEY=VALUE, for completion.
manual::ValueWords value_words();

/// "train", "val" or "test", checked before.
data::Split split_of(const std::string& name);

/// CLI11 validators: a whole number from 0 to 2^63 - 1, and one to 2^64 - 1 (CLI11 itself would wrap -1 and
/// clamp what is too large).
std::string whole_number(const std::string& text);
std::string seed_number(const std::string& text);

}  // namespace lotformer::data_program
