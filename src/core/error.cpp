// SPDX-License-Identifier: MIT
#include "lotformer/core/error.h"

#include <utility>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

std::string located(const std::string& file, std::optional<int64_t> line, std::optional<int64_t> record,
                    const std::string& reason) {
  if (line) return concat(file, ":", *line, ": ", reason);
  if (record) return concat(file, ": record ", *record, ": ", reason);
  return concat(file, ": ", reason);
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
