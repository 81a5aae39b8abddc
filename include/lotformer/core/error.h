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
  usage = 2,         ///< command line or configuration
  data = 3,          ///< a data file is missing or malformed
  checkpoint = 4,    ///< a checkpoint is missing, damaged or belongs to another model
  disk = 5,          ///< cannot write, disk full
  numerics = 6,      ///< non-finite loss or gradients
  memory = 7,        ///< out of memory
  device = 8,        ///< no such device, driver or communication failure
  internal = 70,     ///< a broken invariant of ours
  interrupted = 75,  ///< stopped by a signal; resumable
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
