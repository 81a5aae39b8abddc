// SPDX-License-Identifier: MIT
// JSON files with errors that name the path. Doubles are written so that they read back bit for bit.
#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

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

/// The name of a type in messages: "a whole number".
template <class T>
constexpr const char* json_type_name() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_unsigned_v<T>) return "a whole number that is not negative";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  return "a list";
}

/// True when the value is a T and nothing that would have to be converted: no boolean or 1.5 for a whole
/// number, and none beyond the range of T.
template <class T>
bool json_is(const Json& value) {
  if constexpr (std::is_same_v<T, Json>) {
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::is_integral_v<T>) {
    if (value.is_number_unsigned()) return std::in_range<T>(value.template get<uint64_t>());
    return value.is_number_integer() && std::in_range<T>(value.template get<int64_t>());
  } else if constexpr (std::is_floating_point_v<T>) {
    return value.is_number();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value.is_string();
  } else {
    return value.is_array() && std::all_of(value.begin(), value.end(), json_is<typename T::value_type>);
  }
}

/// A required member with its type checked (json_is); the error names `where` and the key.
template <class T>
T json_get(const Json& object, const std::string& key, const std::string& where, ErrorKind kind) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end())
    throw Error(kind, where + ": member '" + key + "' is missing");
  if (!json_is<T>(*it))
    throw Error(kind, where + ": member '" + key + "' has the wrong type, wanted is " + json_type_name<T>());
  return it->template get<T>();
}

/// A member that may be absent or, in a stranger's file, of any type: then `otherwise`.
template <class T>
T json_or(const Json& object, const char* key, const T& otherwise) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end() || !json_is<T>(*it)) return otherwise;
  return it->template get<T>();
}

}  // namespace lotformer
