// SPDX-License-Identifier: MIT
#include "data/tasks/directory_task.h"

#include <algorithm>
#include <limits>

#include "data/provenance.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

std::string DirectoryTask::data_origin() const {
  return origin_of(provenance_, name());
}

void DirectoryTask::read_record(const std::string& task) {
  provenance_ = read_provenance(directory_, options_.root, task, links());
  check_files(provenance_, directory_, prefix_, options_.rebuild_cache, links());
  contents_checked_ = options_.rebuild_cache;
}

CacheRequest DirectoryTask::cache_request() {
  CacheRequest request;
  request.source_directory = directory_;
  request.rebuild = options_.rebuild_cache;
  request.verify = [this] {
    if (!contents_checked_) check_files(provenance_, directory_, prefix_, true, links());
    contents_checked_ = true;
  };
  return request;
}

std::vector<Reference> DirectoryTask::references() {
  const Dataset train = open(Split::train);
  if (train.size() == 0) return {};
  std::vector<int64_t> by_label(static_cast<size_t>(num_classes()), 0);
  for (int64_t row = 0; row < train.size(); ++row) ++by_label[static_cast<size_t>(train.label(row))];
  const auto most = std::max_element(by_label.begin(), by_label.end());
  const auto label = static_cast<size_t>(most - by_label.begin());
  return {{"always " + class_names()[label], static_cast<double>(*most) / static_cast<double>(train.size()),
           "measured on the training split"}};
}

Vocabulary grey_values() {
  Vocabulary result{Vocabulary::Kind::picture, {}};
  for (int grey = 0; grey < 256; ++grey) result.tokens.push_back(std::to_string(grey));
  return result;
}

Attribute class_attribute(int64_t classes) {
  Attribute attribute{"class", {}, nullptr};
  for (int64_t edge = 0; edge <= classes; ++edge) attribute.edges.push_back(edge);
  attribute.value = [](const Dataset& dataset, int64_t row) { return dataset.label(row); };
  return attribute;
}

int64_t no_upper_bound() {
  return std::numeric_limits<int64_t>::max();
}

}  // namespace lotformer::data
