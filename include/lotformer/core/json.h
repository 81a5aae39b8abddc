// SPDX-License-Identifier: MIT
// JSON files with errors that name the path. Doubles are written so that they read back bit for bit.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "lotformer/core/error.h"

namespace lotformer {

using Json = nlohmann::ordered_json;

/// Linear in the text, whatever a stranger has put there: at most 64 levels, 10,000 members of an object, no
/// name twice. Error(kind) naming `name`.
Json parse_json(std::string_view text, const std::string& name, ErrorKind kind);
/// The same of a file of at most 16 MiB.
Json read_json(const std::filesystem::path& path, ErrorKind kind);
/// Nothing where parse_json would complain: lines of a log whose last one may be cut.
std::optional<Json> try_parse_json(std::string_view text);
/// Indented, ends with a newline; non-finite numbers become null (JSON has no others).
std::string to_pretty_text(const Json& value);
/// One line without newline.
std::string to_line(const Json& value);

/// A required member with its type checked; the error names `where` and the key.
template <class T>
T json_get(const Json& object, const std::string& key, const std::string& where, ErrorKind kind) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end())
    throw Error(kind, where + ": member '" + key + "' is missing");
  try {
    return it->template get<T>();
  } catch (const nlohmann::json::exception&) {
    throw Error(kind, where + ": member '" + key + "' has the wrong type");
  }
}

/// A member that may be absent or, in a stranger's file, of any type: then `otherwise`.
template <class T>
T json_or(const Json& object, const char* key, const T& otherwise) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end()) return otherwise;
  try {
    return it->template get<T>();
  } catch (const nlohmann::json::exception&) {
    return otherwise;
  }
}

}  // namespace lotformer
