// SPDX-License-Identifier: MIT
// The LRA table for programs: CSV and JSON.
#include <set>

#include "lotformer/core/text.h"
#include "table.h"

namespace lotformer::report {
namespace {

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

std::string csv_number(const std::optional<Score>& score) {
  return score ? format_double(score->accuracy) : "";
}

Json json_of(const Statistic& s) {
  if (s.n == 0) return nullptr;
  return {{"mean", s.mean}, {"std", s.deviation}, {"n", s.n}};
}

}  // namespace

std::vector<std::string> tasks_of(const PublishedTable& table) {
  std::set<std::string> present;
  for (const PublishedRow& row : table.rows) {
    for (const auto& [task, value] : row.percent) present.insert(task);
  }
  std::vector<std::string> tasks;
  for (const char* task : {"listops", "text", "retrieval", "image", "pathfinder", "pathx"}) {
    if (present.erase(task) > 0) tasks.push_back(task);
  }
  tasks.insert(tasks.end(), present.begin(), present.end());
  return tasks;
}

std::string to_csv(const std::vector<Run>& runs, const Table& table) {
  std::string out =
      "folder,state,column,task,module,variant,seed,protocol,data_origin,steps,step,test_accuracy,test_"
      "accuracy_"
      "last,val_accuracy,"
      "steps_per_second,peak_memory_bytes,parameters,device,precision,threads,build,test_fingerprint,notes\n";
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    const auto place = table.place_of_run.find(i);
    const std::string variant =
        place == table.place_of_run.end() ? "" : table.rows[place->second.first].variant;
    const std::vector<std::string> cells = {
        run.folder.string(),
        std::string(to_string(run.state)),
        place == table.place_of_run.end() ? "" : table.columns[place->second.second].title,
        run.task,
        run.module,
        variant,
        std::to_string(run.seed),
        run.protocol,
        run.data_origin,
        std::to_string(run.steps),
        std::to_string(run.step),
        csv_number(run.test),
        csv_number(run.last_test),
        csv_number(run.val),
        format_double(run.steps_per_second),
        std::to_string(run.peak_memory_bytes),
        std::to_string(run.parameters),
        run.device,
        run.precision,
        std::to_string(run.threads),
        run.build,
        run.test_fingerprint,
        join(run.notes, "; ")};
    std::vector<std::string> escaped;
    for (const auto& cell : cells) escaped.push_back(csv_cell(cell));
    out += join(escaped, ",") + "\n";
  }
  return out;
}

Json to_json(const Table& table, const std::vector<Run>& runs) {
  Json columns = Json::array(), rows = Json::array();
  for (const Column& c : table.columns)
    columns.push_back({{"title", c.title},
                       {"task", c.task},
                       {"protocol", c.protocol},
                       {"data_origin", c.data_origin},
                       {"test_fingerprint", c.fingerprint}});
  for (const Row& row : table.rows) {
    Json cells = Json::array();
    for (const auto& [column, cell] : row.cells) {
      Json folders = Json::array();
      for (const size_t i : cell.finished) folders.push_back(runs[i].folder.string());
      cells.push_back({{"column", column},
                       {"best", json_of(cell.best)},
                       {"last", json_of(cell.last)},
                       {"steps_per_second", json_of(cell.steps_per_second)},
                       {"peak_memory_bytes", json_of(cell.peak_memory_bytes)},
                       {"parameters", json_of(cell.parameters)},
                       {"runs", std::move(folders)},
                       {"unfinished", cell.unfinished.size()},
                       {"qualified", cell.qualified}});
    }
    rows.push_back({{"module", row.module},
                    {"variant", row.variant},
                    {"label", row.label()},
                    {"control", row.control},
                    {"average", json_of(row.average)},
                    {"cells", std::move(cells)}});
  }
  return {{"columns", std::move(columns)},
          {"rows", std::move(rows)},
          {"has_average", table.has_average},
          {"notes", table.notes}};
}

Json to_json(const std::vector<PublishedTable>& published) {
  Json tables = Json::array();
  for (const auto& table : published) {
    Json rows = Json::array();
    for (const auto& row : table.rows) rows.push_back({{"model", row.model}, {"percent", row.percent}});
    tables.push_back({{"source", table.source},
                      {"table", table.table},
                      {"protocol", table.protocol},
                      {"note", table.note},
                      {"tasks", tasks_of(table)},
                      {"rows", std::move(rows)}});
  }
  return tables;
}

}  // namespace lotformer::report
