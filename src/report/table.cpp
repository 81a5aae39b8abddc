// SPDX-License-Identifier: MIT
#include "table.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "lotformer/core/hash.h"
#include "lotformer/core/text.h"
#include "run_config.h"

namespace lotformer::report {
namespace {

using Flat = std::map<std::string, std::string>;

constexpr size_t kMostLabel = 100;

const std::vector<std::string> kTaskOrder = {"listops", "text", "retrieval", "image", "pathfinder", "pathx"};
const std::vector<std::string> kModuleOrder = {
    "softmax", "performer", "linear", "sinkformer", "espformer", "lotformer", "causal_pivot", "mean", "none"};

/// A module by its name in the records, which may say a variant of its mathematics ("lotformer-weighted").
std::string family_of(const std::string& module) {
  for (const auto& name : kModuleOrder) {
    if (module.starts_with(name + "-")) return name;
  }
  return module;
}

/// Place of a name in a list; of one that begins with an entry ("lotformer-weighted") right behind it.
std::pair<size_t, std::string> rank_in(const std::vector<std::string>& order, const std::string& name) {
  for (size_t i = 0; i < order.size(); ++i) {
    if (name == order[i] || name.starts_with(order[i] + "-")) return {i, name};
  }
  return {order.size(), name};
}

bool is_control(const std::string& module) {
  return module == "mean" || module == "none";
}

/// The configuration without what makes no other experiment.
Flat experiment_of(const Run& run) {
  Flat result;
  const auto drop_last = run.config.find("eval.drop_last");
  const bool batch_decides = drop_last != run.config.end() && drop_last->second == "true";
  for (const auto& [key, value] : run.config) {
    const bool which_examples = key == "eval.batch_size" && batch_decides;
    if (which_examples || !keys_of_no_experiment().contains(key)) result[key] = value;
  }
  return result;
}

std::string bare_title(const Column& column) {
  std::string title = column.task;
  if (!column.data_origin.empty() && column.data_origin != "official")
    title += concat(" (", column.data_origin, ")");
  if (!column.protocol.empty() && column.protocol != "default")
    title += concat(" [protocol ", column.protocol, "]");
  return title;
}

std::vector<Column> columns_of(const std::vector<Run>& runs) {
  std::set<Column> found;
  for (const Run& run : runs) {
    if (run.state == State::unreadable || run.task.empty() || run.module.empty()) continue;
    found.insert({run.task, run.protocol, run.data_origin, run.test_fingerprint, ""});
  }
  std::vector<Column> columns(found.begin(), found.end());
  std::stable_sort(columns.begin(), columns.end(), [](const Column& a, const Column& b) {
    return rank_in(kTaskOrder, a.task) < rank_in(kTaskOrder, b.task);
  });
  std::map<std::string, int> titles;
  for (Column& column : columns) ++titles[column.title = bare_title(column)];
  for (Column& column : columns) {
    if (titles[column.title] > 1)
      column.title += column.fingerprint.empty() ? " <data not recorded>"
                                                 : concat(" <", column.fingerprint.substr(0, 6), ">");
  }
  return columns;
}

/// For each experiment, the keys in which they differ, by their last part: "dim=64, pivots=8". At most
/// kMostLabel characters.
std::map<Flat, std::string> variants_of(const std::set<Flat>& experiments) {
  std::map<std::string, std::set<std::string>> values;
  for (const Flat& experiment : experiments) {
    for (const auto& [key, value] : experiment) values[key].insert(value);
  }
  std::map<Flat, std::string> result;
  for (const Flat& experiment : experiments) {
    std::vector<std::string> parts;
    for (const auto& [key, seen] : values) {
      const auto place = experiment.find(key);
      const bool everywhere = std::all_of(experiments.begin(), experiments.end(),
                                          [&](const Flat& other) { return other.contains(key); });
      // What is no key of a configuration ("--init-from") is said in any case.
      if (seen.size() > 1 || !everywhere || (key.starts_with("--") && place != experiment.end()))
        parts.push_back(key.substr(key.rfind('.') + 1) + "=" +
                        (place == experiment.end() ? "absent" : place->second));
    }
    std::string label = join(parts, ", ");
    if (label.size() > kMostLabel)
      label = label.substr(0, kMostLabel) + "... " + hash_bytes(label).substr(0, 6);
    result[experiment] = label;
  }
  return result;
}

void fill(Cell& cell, const std::vector<Run>& runs) {
  std::vector<double> best, last, speed, memory, parameters;
  for (const size_t i : cell.finished) {
    const Run& run = runs[i];
    if (run.test) best.push_back(run.test->accuracy);
    if (run.last_test) last.push_back(run.last_test->accuracy);
    if (run.steps_per_second > 0) speed.push_back(run.steps_per_second);
    if (run.peak_memory_bytes > 0) memory.push_back(static_cast<double>(run.peak_memory_bytes));
    if (run.parameters > 0) parameters.push_back(static_cast<double>(run.parameters));
  }
  cell.qualified =
      std::any_of(cell.finished.begin(), cell.finished.end(), [&](size_t i) { return runs[i].qualified; });
  cell.best = statistic_of(best);
  cell.last = statistic_of(last);
  cell.steps_per_second = statistic_of(speed);
  cell.peak_memory_bytes = statistic_of(memory);
  cell.parameters = statistic_of(parameters);
}

/// An average wants every task once, and at least two of them.
bool average_is_defined(const std::vector<Column>& columns) {
  std::set<std::string> tasks;
  for (const Column& column : columns) tasks.insert(column.task);
  return columns.size() >= 2 && tasks.size() == columns.size();
}

void finish_row(Row& row, const Table& table, const std::vector<Run>& runs) {
  std::vector<double> means;
  for (auto& [column, cell] : row.cells) {
    fill(cell, runs);
    if (cell.best.n > 0) means.push_back(cell.best.mean);
  }
  if (table.has_average && means.size() == table.columns.size()) {
    row.average = statistic_of(means);
    row.average.deviation = 0;  // that of the tasks among each other says nothing about the module
  }
}

/// Two runs of one seed are no two repetitions.
void note_repeated_seeds(Table& table, const Row& row, const std::vector<Run>& runs) {
  for (const auto& [column, cell] : row.cells) {
    std::map<int64_t, size_t> seen;
    for (const size_t i : cell.finished) {
      const auto [first, is_new] = seen.try_emplace(runs[i].seed, i);
      if (!is_new)
        table.notes.push_back(concat(table.columns[column].title, ", ", row.label(), ": seed ", runs[i].seed,
                                     " twice (", runs[first->second].folder.string(), " and ",
                                     runs[i].folder.string(), "); both are counted"));
    }
  }
}

/// Speed and memory of one cell are those of one kind of machine, or it is said.
void note_mixed_machines(Table& table, const Row& row, const std::vector<Run>& runs) {
  for (const auto& [column, cell] : row.cells) {
    std::set<std::string> devices;
    for (const size_t i : cell.finished) devices.insert(runs[i].device);
    if (devices.size() > 1)
      table.notes.push_back(concat(table.columns[column].title, ", ", row.label(),
                                   ": speed and memory are means over ",
                                   join({devices.begin(), devices.end()}, " and ")));
  }
}

/// Modules that were trained for different times stand beside each other only with that said.
void note_unequal_steps(Table& table, const std::vector<Run>& runs) {
  for (size_t c = 0; c < table.columns.size(); ++c) {
    std::set<int64_t> all;
    std::vector<std::string> parts;
    for (const Row& row : table.rows) {
      const auto cell = row.cells.find(c);
      if (cell == row.cells.end() || cell->second.finished.empty()) continue;
      std::set<int64_t> steps;
      for (const size_t i : cell->second.finished) steps.insert(runs[i].steps);
      all.insert(steps.begin(), steps.end());
      std::vector<std::string> texts;
      for (const int64_t n : steps) texts.push_back(format_count(n));
      parts.push_back(row.label() + " " + join(texts, " and "));
    }
    if (all.size() > 1)
      table.notes.push_back(
          concat(table.columns[c].title, ": trained for different numbers of steps: ", join(parts, ", ")));
  }
}

struct Located {
  size_t column = 0;
  std::string variant;
  /// What the row is called.
  std::string module;
};

/// A suite may give a task the variant of a module that suits it. Where no task has two of them, and one has
/// the plain module, they share a row under its name, so that it has an average, and a note says which is
/// where.
void join_families(std::map<size_t, Located>& located, const std::vector<Run>& runs, Table& table) {
  std::map<std::string, std::map<std::string, std::set<std::string>>> members;  // by family and task
  std::set<std::string> apart;
  for (auto& [i, where] : located) {
    where.module = runs[i].module;
    const std::string family = family_of(runs[i].module);
    auto& here = members[family][table.columns[where.column].task];
    here.insert(runs[i].module);
    if (!where.variant.empty() || here.size() > 1) apart.insert(family);
  }
  for (const auto& [family, tasks] : members) {
    std::set<std::string> different;
    std::vector<std::string> parts;
    for (const auto& [task, modules] : tasks) {
      different.insert(modules.begin(), modules.end());
      parts.push_back(concat(task, " by ", *modules.begin()));
    }
    if (apart.contains(family) || different.size() < 2 || !different.contains(family)) continue;
    table.notes.push_back(concat("the row ", family, ": ", join(parts, ", ")));
    for (auto& [i, where] : located) {
      if (different.contains(where.module)) where.module = family;
    }
  }
}

/// Column and variant of each run that belongs into the table.
std::map<size_t, Located> locate(const std::vector<Run>& runs, const std::vector<Column>& columns) {
  std::map<size_t, Located> located;
  std::map<std::pair<size_t, std::string>, std::set<Flat>> experiments;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    if (run.state == State::unreadable || run.task.empty() || run.module.empty()) continue;
    const auto place = std::find_if(columns.begin(), columns.end(), [&](const Column& c) {
      return c.task == run.task && c.protocol == run.protocol && c.data_origin == run.data_origin &&
             c.fingerprint == run.test_fingerprint;
    });
    located[i].column = static_cast<size_t>(place - columns.begin());
    experiments[{located[i].column, run.module}].insert(experiment_of(run));
  }
  std::map<std::pair<size_t, std::string>, std::map<Flat, std::string>> names;
  for (const auto& [key, set] : experiments) names[key] = variants_of(set);
  for (auto& [i, where] : located)
    where.variant = names[{where.column, runs[i].module}][experiment_of(runs[i])];
  return located;
}

}  // namespace

Statistic statistic_of(const std::vector<double>& values) {
  Statistic result;
  result.n = static_cast<int>(values.size());
  if (values.empty()) return result;
  for (const double value : values) result.mean += value / result.n;
  for (const double value : values) result.deviation += (value - result.mean) * (value - result.mean);
  result.deviation = result.n < 2 ? 0 : std::sqrt(result.deviation / (result.n - 1));
  return result;
}

Table make_table(const std::vector<Run>& runs) {
  Table table;
  table.columns = columns_of(runs);
  table.has_average = average_is_defined(table.columns);
  auto located = locate(runs, table.columns);
  join_families(located, runs, table);
  std::map<std::pair<std::pair<size_t, std::string>, std::string>, std::vector<size_t>> rows;
  for (const auto& [i, where] : located)
    rows[{rank_in(kModuleOrder, where.module), where.variant}].push_back(i);
  for (const auto& [key, members] : rows) {
    Row row;
    row.module = key.first.second;
    row.variant = key.second;
    row.control = is_control(row.module);
    for (const size_t i : members) {
      const size_t column = located.at(i).column;
      Cell& cell = row.cells[column];
      (runs[i].state == State::finished ? cell.finished : cell.unfinished).push_back(i);
      table.place_of_run[i] = {table.rows.size(), column};
    }
    finish_row(row, table, runs);
    note_repeated_seeds(table, row, runs);
    note_mixed_machines(table, row, runs);
    table.rows.push_back(std::move(row));
  }
  note_unequal_steps(table, runs);
  return table;
}

}  // namespace lotformer::report
