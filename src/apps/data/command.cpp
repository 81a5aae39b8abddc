// SPDX-License-Identifier: MIT
#include "apps/data/command.h"

#include <charconv>

#include "lotformer/core/text.h"

namespace lotformer::data_program {

void Target::add_to(CLI::App& command) {
  command
      .add_option("--task", task,
                  "listops, text, retrieval, image, pathfinder32, -64, -128 (= pathx) or -256")
      ->required();
  command.add_option("--root", root, "data folder, as data.root")->capture_default_str();
  command
      .add_option("--difficulty", difficulty,
                  "pathfinder: easy, intermediate or hard (contours of 6, 9, 14 dashes)")
      ->capture_default_str();
  command.add_flag("--json", json, "one JSON object on stdout and nothing else there");
}

data::DataOptions Target::options() const {
  data::DataOptions result;
  result.root = root;
  result.difficulty = difficulty;
  return result;
}

void Target::print(const Json& object, const std::string& text) const {
  std::cout << (json ? to_line(object) + "\n" : text) << std::flush;
}

data::Split split_of(const std::string& name) {
  return name == "train" ? data::Split::train : name == "val" ? data::Split::val : data::Split::test;
}

std::string whole_number(const std::string& text) {
  uint64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec == std::errc{} && end.ptr == text.data() + text.size()) return "";
  return "must be a whole number from 0 to 2^64 - 1, got " + text;
}

}  // namespace lotformer::data_program
