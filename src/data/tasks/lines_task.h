// SPDX-License-Identifier: MIT
// A task whose splits are text files with an example a line. A subclass says what a line means; files, cache,
// cut and messages are here.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/cache.h"
#include "data/tasks/directory_task.h"
#include "data/tasks/source_files.h"

namespace lotformer::data {

class LinesTask : public DirectoryTask {
 public:
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary().tokens.size()); }
  int64_t max_length() const override { return std::max(longest_, options_.pad_to); }
  Dataset open(Split split) override;
  /// Nobody has published these files: "custom", or what a provenance record says.
  std::string data_origin() const override;
  /// Accuracy by length before the cut (of pairs the longer one).
  std::vector<Attribute> attributes() const override;

 protected:
  /// What the files are.
  struct Source {
    Layout layout;
    /// Of training, validation, test.
    std::array<std::string, 3> files;
    /// What to do when one is missing.
    std::string advice;
    /// Raise it when a line would be read otherwise, so that old caches are not used.
    int version = 1;
    /// Names the options that decide how a line is read; part of the caches' names.
    std::string variant;
    /// Tokens after which a sequence is cut.
    int64_t cut = 0;
  };
  struct Line {
    std::string_view text;
    std::string file;
    int64_t number = 0;
    /// Throws a DataError with file and line; `reason` says what was expected.
    [[noreturn]] void fail(const std::string& reason) const;
  };
  /// An example. A token is stored as a byte; its id is that byte + 1, and id 0 pads.
  struct Row {
    int32_t label = 0;
    std::array<std::vector<uint8_t>, 2> tokens;
  };

  /// Finds the files and reads the provenance record of `task`. DataError: a file is missing.
  LinesTask(const DataOptions& options, Source source, const std::string& task);
  /// Fills an empty row with as many sequences as the task has, none of them empty.
  virtual void read(const Line& line, Split split, Row& row) const = 0;
  /// What else decides how the lines of a split are read; part of the identity of its cache.
  virtual std::string identity(Split /*split*/) const { return {}; }
  virtual CacheLimits limits(Split split) const;

  std::shared_ptr<const Cache> decoded(Split split);
  SourceFile file_of(Split split) const;
  const std::string& name_of(Split split) const { return source_.files[static_cast<size_t>(split)]; }
  int64_t longest_;
  Source source_;

 private:
  std::string source_digest(Split split) const;
  void decode(Split split, CacheBuilder& builder) const;
  std::array<std::shared_ptr<const Cache>, 3> decoded_;
};

/// Tokens of the longest sequence of a cache.
int64_t longest_sequence(const Cache& cache);

}  // namespace lotformer::data
