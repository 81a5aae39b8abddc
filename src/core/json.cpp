// SPDX-License-Identifier: MIT
#include "lotformer/core/json.h"

#include "json_scan.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer {
Json parse_json(std::string_view text, const std::string& name, ErrorKind kind) {
  JsonScan<Json> scan({});
  if (!scan.scan(text)) throw Error(kind, name + ": " + scan.problem);
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(kind, name + ": not valid JSON: " + error.what());
  }
}

Json read_json(const std::filesystem::path& path, ErrorKind kind) {
  constexpr int64_t kMostBytes = int64_t{16} << 20;  // far above every file of ours
  return parse_json(read_file(path, kind, kMostBytes), path.string(), kind);
}

std::optional<Json> try_parse_json(std::string_view text) {
  if (!JsonScan<Json>({}).scan(text)) return std::nullopt;
  // Spelt out: with nlohmann_json before 3.11 a Json converts to optional<Json> in two ways.
  return std::make_optional<Json>(Json::parse(text, nullptr, /*allow_exceptions=*/false));
}

std::string to_pretty_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lotformer
