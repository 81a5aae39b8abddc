// SPDX-License-Identifier: MIT
#include "plans.h"

#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

[[noreturn]] void fail_plans(const std::string& what) {
  throw Error(ErrorKind::usage, "evaluation/plans.json: " + what);
}

const Json& list_of(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_array() || object.at(key).empty())
    fail_plans(concat("'", key, "' is missing or no list with entries"));
  return object.at(key);
}

void check_matrix(const Json& plan, const char* side, size_t tokens) {
  for (const Json& row : list_of(plan, side)) {
    if (!row.is_array() || row.size() != tokens)
      fail_plans(concat("a row of '", side, "' has not one number a token (", tokens, ")"));
    for (const Json& value : row) {
      if (!value.is_number()) fail_plans(concat("'", side, "' holds what is no number"));
    }
  }
}

void check_sequence(const Json& sequence) {
  const size_t tokens = list_of(sequence, "ids").size();
  if (sequence.contains("tokens") && list_of(sequence, "tokens").size() != tokens)
    fail_plans("'tokens' and 'ids' are not equally long");
  for (const Json& plan : list_of(sequence, "plans")) {
    json_get<int64_t>(plan, "layer", "evaluation/plans.json", ErrorKind::usage);
    json_get<int64_t>(plan, "head", "evaluation/plans.json", ErrorKind::usage);
    check_matrix(plan, "query", tokens);
    check_matrix(plan, "key", tokens);
    if (plan.at("query").size() != plan.at("key").size()) fail_plans("the two plans have not as many pivots");
  }
}

}  // namespace

Json checked_plans(const Json& file) {
  const Json& examples = list_of(file, "examples");
  for (const Json& example : examples) {
    for (const char* key : {"row", "label", "prediction"})
      json_get<int64_t>(example, key, "evaluation/plans.json", ErrorKind::usage);
    for (const Json& sequence : list_of(example, "sequences")) check_sequence(sequence);
  }
  return examples;
}

}  // namespace lotformer::report
