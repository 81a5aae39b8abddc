// SPDX-License-Identifier: MIT
// The LRA table: a row a module, a column a task; repetitions (seeds) of one experiment are one cell.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "published.h"
#include "run.h"

namespace lotformer::report {

/// Mean and sample standard deviation of n numbers; deviation 0 where n < 2.
struct Statistic {
  double mean = 0, deviation = 0;
  int n = 0;
};
Statistic statistic_of(const std::vector<double>& values);

/// What may share a column: the same task by the same protocol on the same test data.
struct Column {
  std::string task, protocol, data_origin, fingerprint;
  /// "listops", "listops (synthetic)", "image (protocol lra)".
  std::string title;
  auto operator<=>(const Column&) const = default;
};

struct Cell {
  /// Indices into the runs, finished ones first.
  std::vector<size_t> finished, unfinished;
  /// A note of one of its runs says what a reader has to know.
  bool qualified = false;
  /// Of the test split, in [0, 1]: at the best validation checkpoint, and at the last step.
  Statistic best, last;
  Statistic steps_per_second, peak_memory_bytes, parameters;
};

struct Row {
  std::string module;
  /// Where a module has more than one experiment on a task, the keys that tell them apart: "model.dim=64".
  std::string variant;
  bool control = false;
  std::map<size_t, Cell> cells;  // by index of the column
  /// Mean of `best` over all columns; n = 0 where one of them is missing, or Table::has_average is not set.
  Statistic average;
  std::string label() const { return variant.empty() ? module : module + " (" + variant + ")"; }
};

struct Table {
  std::vector<Column> columns;
  std::vector<Row> rows;
  /// The row and the column of each run that has them.
  std::map<size_t, std::pair<size_t, size_t>> place_of_run;
  /// At least two tasks, each in one column: only then an average means something.
  bool has_average = false;
  /// What a reader has to know: the same seed twice in a cell.
  std::vector<std::string> notes;
};

/// Runs without a task or a module, and unreadable ones, are left out.
Table make_table(const std::vector<Run>& runs);

/// Written for people and for papers. LaTeX wants the package booktabs.
std::string to_markdown(const Table& table, const std::vector<Run>& runs,
                        const std::vector<PublishedTable>& published);
std::string to_latex(const Table& table, const std::vector<Run>& runs,
                     const std::vector<PublishedTable>& published);
/// One line a run: everything that the table is made of.
std::string to_csv(const std::vector<Run>& runs, const Table& table);
Json to_json(const Table& table, const std::vector<Run>& runs);
Json to_json(const std::vector<PublishedTable>& published);

/// "97.60 ± 0.12 (3)", of accuracies in [0, 1]; "-" without any.
std::string percent_text(const Statistic& statistic, const char* plus_minus = " ± ");

}  // namespace lotformer::report
