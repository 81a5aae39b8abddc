// SPDX-License-Identifier: MIT
#include <array>
#include <string>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/data/listops_generator.h"

namespace lotformer::data {
namespace {

struct NamedCount {
  const char* name;
  int64_t ListopsParameters::*member;
};

constexpr std::array<NamedCount, 3> kRows = {{{"train", &ListopsParameters::train},
                                              {"val", &ListopsParameters::val},
                                              {"test", &ListopsParameters::test}}};
constexpr std::array<NamedCount, 4> kShape = {{{"min_length", &ListopsParameters::min_length},
                                               {"max_length", &ListopsParameters::max_length},
                                               {"max_depth", &ListopsParameters::max_depth},
                                               {"max_args", &ListopsParameters::max_args}}};

}  // namespace

Json to_json(const ListopsParameters& parameters) {
  Json json = {{"seed", parameters.seed}};
  for (const NamedCount& entry : kRows) json[entry.name] = parameters.*entry.member;
  for (const NamedCount& entry : kShape) json[entry.name] = parameters.*entry.member;
  return json;
}

ListopsParameters listops_parameters_from_json(const Json& record, const std::string& where) {
  ListopsParameters result;
  const Json parameters = json_get<Json>(record, "parameters", where, ErrorKind::data);
  result.seed = json_get<uint64_t>(parameters, "seed", where, ErrorKind::data);
  for (const NamedCount& entry : kRows) {
    result.*entry.member = json_get<int64_t>(parameters, entry.name, where, ErrorKind::data);
  }
  for (const NamedCount& entry : kShape) {
    result.*entry.member = json_get<int64_t>(parameters, entry.name, where, ErrorKind::data);
  }
  return result;
}

bool has_official_distribution(ListopsParameters parameters) {
  const ListopsParameters official;
  parameters.seed = official.seed;
  for (const NamedCount& entry : kRows) parameters.*entry.member = official.*entry.member;
  return parameters == official;
}

std::string first_difference(const ListopsParameters& found, const ListopsParameters& wanted) {
  if (found.seed != wanted.seed) return concat("seed is ", found.seed, ", wanted ", wanted.seed);
  const auto differs = [&](const NamedCount& entry) -> std::string {
    if (found.*entry.member == wanted.*entry.member) return "";
    return concat(entry.name, " is ", found.*entry.member, ", wanted ", wanted.*entry.member);
  };
  for (const NamedCount& entry : kRows) {
    if (std::string text = differs(entry); !text.empty()) return text;
  }
  for (const NamedCount& entry : kShape) {
    if (std::string text = differs(entry); !text.empty()) return text;
  }
  return "";
}

Json to_json(const ListopsGeneration& generation) {
  return {{"directory", generation.directory.string()},
          {"already_there", generation.already_there},
          {"rows", generation.rows},
          {"bytes", generation.bytes},
          {"candidates", generation.candidates}};
}

std::string describe(const ListopsGeneration& generation) {
  return concat(generation.directory.string(), ": ", format_count(generation.rows), " rows, ",
                format_bytes(generation.bytes), generation.already_there ? ", there already" : "");
}

}  // namespace lotformer::data
