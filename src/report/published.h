// SPDX-License-Identifier: MIT
// Accuracies that papers state, to stand beside the own ones and never among them (docs/published.yaml).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::report {

struct PublishedRow {
  std::string model;
  std::map<std::string, double> percent;  // by task
};

struct PublishedTable {
  std::string source, table, protocol, note;
  std::vector<PublishedRow> rows;
};

/// Tasks of which a table has an accuracy, in the order of the benchmark.
std::vector<std::string> tasks_of(const PublishedTable& table);

/// The tables of docs/published.yaml as it was when this program was built.
std::vector<PublishedTable> built_in_published();
/// Error(usage) naming `name` and the line of what is wrong.
std::vector<PublishedTable> parse_published(std::string_view yaml, const std::string& name);

}  // namespace lotformer::report
