// SPDX-License-Identifier: MIT
// Errors that a user or a file can cause. One taxonomy, one table of exit codes for every program.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lotformer {

/// What went wrong, in the terms of the exit codes (the value of the enumerator is the exit code).
enum class ErrorKind : int {
  /// Command line or configuration.
  usage = 2,
  /// A data file is missing or malformed.
  data = 3,
  /// A checkpoint is missing, damaged or belongs to another model.
  checkpoint = 4,
  /// Cannot write, disk full.
  disk = 5,
  /// non-finite loss or gradients.
  numerics = 6,
  /// Out of memory.
  memory = 7,
  /// No such device, driver or communication failure.
  device = 8,
  /// A broken invariant of ours.
  internal = 70,
  /// Stopped by a signal; resumable.
  interrupted = 75,
};

/// Exception with a kind. The message is one line, complete and in the user's terms.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// Bad data with its place. `file` is relative to the directory the loader was pointed at.
/// Text: `listops-1000/basic_train.tsv:4: row has 3 columns, 2 wanted` (line, 1-based) or
/// `test_batch.bin: record 1: label 10 ...` (record, 0-based).
class DataError : public Error {
 public:
  static DataError at_file(std::string file, std::string reason);
  static DataError at_line(std::string file, int64_t line, std::string reason);
  static DataError at_record(std::string file, int64_t record, std::string reason);

  const std::string& file() const { return file_; }
  std::optional<int64_t> line() const { return line_; }
  std::optional<int64_t> record() const { return record_; }
  const std::string& reason() const { return reason_; }

 private:
  DataError(std::string file, std::optional<int64_t> line, std::optional<int64_t> record, std::string reason);
  std::string file_;
  std::optional<int64_t> line_, record_;
  std::string reason_;
};

}  // namespace lotformer
