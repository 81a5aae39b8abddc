// SPDX-License-Identifier: MIT
#include "apps/data/command.h"

#include <charconv>

#include "lotformer/config/load.h"
#include "lotformer/core/text.h"

namespace lotformer::data_program {

void Target::add_to(CLI::App& command) {
  command_ = &command;
  command
      .add_option("--task", task,
                  "listops, text, retrieval, image, pathfinder32, -64, -128 (= pathx), -256 or custom")
      ->type_name("TASK");
  command.add_option("--root", root, "data folder, as data.root")->type_name("DIR")->capture_default_str();
  command
      .add_option("--difficulty", difficulty,
                  "pathfinder: easy, intermediate or hard (contours of 6, 9, 14 dashes)")
      ->type_name("LEVEL")
      ->capture_default_str();
  command.add_flag("--json", json, "one JSON object on stdout and nothing else there");
}

void Target::add_configuration(CLI::App& command) {
  command
      .add_option("--config", config,
                  "configuration file: its task, protocol and data.* say how the data are read")
      ->type_name("CONFIG");
  command
      .add_option("--set", assignments,
                  "data.KEY or protocol, as for training; again for each key, the last one wins")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

namespace {

/// What this program does not read must not be given to it: it would have no effect.
void require_data_key(const std::string& assignment) {
  if (assignment.starts_with("data.") || assignment.starts_with("protocol=")) return;
  throw Error(ErrorKind::usage, concat("--set ", quoted(assignment, 200),
                                       ": lotformer-data takes data.KEY=VALUE and protocol=NAME"));
}

}  // namespace

Source Target::source() const {
  Source result{task, {}};
  const bool configured = !config.empty() || !assignments.empty();
  if (task.empty() && config.empty())
    throw Error(ErrorKind::usage,
                "--task is required, or --config with a file that names the task (see --help)");
  if (configured) {
    ConfigRequest request{config, {}};
    if (!task.empty()) request.assignments.push_back("task=" + task);  // first: the later key is to blame
    for (const std::string& assignment : assignments) {
      require_data_key(assignment);
      request.assignments.push_back(assignment);
    }
    const Config loaded = load_data_config(request, data::task_kinds());
    result = {loaded.task, loaded.data};
    result.options.generate_missing = false;  // looking at data makes none
  }
  if (!configured || command_->count("--root") > 0) result.options.root = root;
  if (!configured || command_->count("--difficulty") > 0) result.options.difficulty = difficulty;
  return result;
}

void Target::print(const Json& object, const std::string& text) const {
  std::cout << (json ? to_line(object) + "\n" : text) << std::flush;
}

manual::ValueWords value_words() {
  const TaskKinds tasks = data::task_kinds();
  std::vector<std::string> assignments;
  for (const std::string& word : assignment_words({{}, tasks})) {
    if (word.starts_with("data.") || word.starts_with("protocol=")) assignments.push_back(word);
  }
  return {{"TASK", tasks.names},
          {"CONFIG", config_names()},
          {"KEY=VALUE", std::move(assignments)},
          {"LEVEL", {"easy", "intermediate", "hard"}}};
}

data::Split split_of(const std::string& name) {
  return name == "train" ? data::Split::train : name == "val" ? data::Split::val : data::Split::test;
}

namespace {

bool is_whole(const std::string& text, uint64_t most) {
  uint64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  return end.ec == std::errc{} && end.ptr == text.data() + text.size() && value <= most;
}

}  // namespace

std::string whole_number(const std::string& text) {
  return is_whole(text, INT64_MAX) ? "" : "must be a whole number from 0 to 2^63 - 1, got " + text;
}

std::string seed_number(const std::string& text) {
  return is_whole(text, UINT64_MAX) ? "" : "must be a whole number from 0 to 2^64 - 1, got " + text;
}

}  // namespace lotformer::data_program
