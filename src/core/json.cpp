// SPDX-License-Identifier: MIT
#include "lotformer/core/json.h"

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

constexpr int kMaxDepth =
    64;  // copies and destruction recurse: a file from a stranger must not exhaust the stack

}  // namespace

Json parse_json(std::string_view text, const std::string& name, ErrorKind kind) {
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth)
      throw Error(kind, concat(name, ": JSON nested deeper than ", kMaxDepth, " levels"));
    return true;
  };
  try {
    return Json::parse(text, shallow);
  } catch (const nlohmann::json::exception& error) {
    throw Error(kind, name + ": not valid JSON: " + error.what());
  }
}

Json read_json(const std::filesystem::path& path, ErrorKind kind) {
  return parse_json(read_file(path, kind, int64_t{1} << 30), path.string(), kind);
}

std::string to_pretty_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lotformer
