// SPDX-License-Identifier: MIT
#include "lotformer/core/error.h"

#include <algorithm>
#include <utility>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

/// Names come from the data: one with a line end or an escape sequence would write to the terminal, one that
/// begins with a byte order mark would look right.
std::string shown(const std::string& file) {
  const bool plain = std::all_of(file.begin(), file.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  return plain ? file : quoted(file, 4096);
}

std::string located(const std::string& file, std::optional<int64_t> line, std::optional<int64_t> record,
                    const std::string& reason) {
  if (line) return concat(shown(file), ":", *line, ": ", one_line(reason));
  if (record) return concat(shown(file), ": record ", *record, ": ", one_line(reason));
  return concat(shown(file), ": ", one_line(reason));
}

}  // namespace

DataError::DataError(std::string file, std::optional<int64_t> line, std::optional<int64_t> record,
                     std::string reason)
    : Error(ErrorKind::data, located(file, line, record, reason)),
      file_(std::move(file)),
      line_(line),
      record_(record),
      reason_(std::move(reason)) {}

DataError DataError::at_file(std::string file, std::string reason) {
  return {std::move(file), std::nullopt, std::nullopt, std::move(reason)};
}

DataError DataError::at_line(std::string file, int64_t line, std::string reason) {
  return {std::move(file), line, std::nullopt, std::move(reason)};
}

DataError DataError::at_record(std::string file, int64_t record, std::string reason) {
  return {std::move(file), std::nullopt, record, std::move(reason)};
}

}  // namespace lotformer
