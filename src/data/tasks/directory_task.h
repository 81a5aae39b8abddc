// SPDX-License-Identifier: MIT
// What tasks share whose files lie in one folder: its place, its provenance, its reference line.
#pragma once

#include <string>
#include <vector>

#include "data/cache.h"
#include "data/tasks/layout.h"
#include "data/tasks/source_files.h"
#include "lotformer/data/task.h"

namespace lotformer::data {

class DirectoryTask : public Task {
 public:
  std::string data_origin() const override;
  Json provenance() const override { return provenance_; }
  std::filesystem::path folder() const override { return directory_; }
  int64_t num_classes() const override { return static_cast<int64_t>(class_names().size()); }
  /// The accuracy of always answering the training split's most frequent class.
  std::vector<Reference> references() override;

 protected:
  explicit DirectoryTask(const DataOptions& options) : options_(options) {}
  /// After directory_ and prefix_ are set: reads the provenance record of `task` and compares the files that
  /// it lists.
  void read_record(const std::string& task);
  /// A request for a cache of this folder. Before the first one is built, the contents of the files that the
  /// record lists are compared with it: whoever trains on them learns what `lotformer-data check` would say.
  CacheRequest cache_request();
  bool is_official() const { return provenance_.is_null(); }
  Links links() const { return options_.follow_links ? Links::anywhere : Links::inside; }
  FileFence fence() const { return {directory_, prefix_, links()}; }

  DataOptions options_;
  std::filesystem::path directory_;
  /// Of file names in messages.
  std::string prefix_;
  Json provenance_;

 private:
  bool contents_checked_ = false;
};

/// Of pictures: "0" to "255".
Vocabulary grey_values();

/// Accuracy by class: one bin a class.
Attribute class_attribute(int64_t classes);

/// The last edge of a list of bins: no upper bound.
int64_t no_upper_bound();

}  // namespace lotformer::data
