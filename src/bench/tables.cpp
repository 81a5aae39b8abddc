// SPDX-License-Identifier: MIT
// Reports as Markdown that can be committed: what was measured, where, and with which command.
#include <iomanip>
#include <sstream>

#include "lotformer/bench/attention_bench.h"
#include "lotformer/bench/step_table.h"
#include "lotformer/core/text.h"

namespace lotformer::bench {
namespace {

constexpr double kMiB = 1 << 20;

std::string ratio_text(const Json& value) {
  return value.is_null() ? "-" : format_fixed(value.get<double>(), 2);
}

std::string milliseconds(const Json& row) {
  return format_fixed(row["median_us"].get<double>() / 1000, 1);
}

std::string mebibytes(const Json& bytes) {
  return format_fixed(bytes.get<double>() / kMiB, 1);
}

std::string residual_text(const Json& value) {
  if (value.is_null()) return "-";
  std::ostringstream text;
  text << std::scientific << std::setprecision(1) << value.get<double>();
  return text.str();
}

std::string name_of(const Json& row) {
  std::string name = row["attention"].get<std::string>();
  for (const char* key : {"mode", "options"}) {
    const std::string text = row[key].is_null() ? "" : row[key].get<std::string>();
    if (!text.empty()) name += ", " + text;
  }
  return name;
}

std::string table_row(const std::vector<std::string>& cells) {
  return "| " + join(cells, " | ") + " |\n";
}

std::string table_head(const std::vector<std::string>& cells) {
  return table_row(cells) + table_row(std::vector<std::string>(cells.size(), "---"));
}

/// The command where the program noted it, and the circumstances.
std::string preface(const Json& report) {
  std::string text;
  if (report.contains("command")) text = concat("`", report["command"].get<std::string>(), "`\n\n");
  text += concat(report["device"].get<std::string>(), ", ", report["threads"], " threads, ",
                 report["dtype"].get<std::string>(), ", ", report["build_id"].get<std::string>(), "; batch ",
                 report["batch"], ", ", report["heads"], " heads of ", report["head_dim"]);
  if (report["padded"].get<bool>()) text += ", ragged lengths (5/8 of the tokens are real)";
  if (report["dropout"].get<double>() > 0) text += concat(", dropout ", report["dropout"]);
  return text + ".\n\n";
}

}  // namespace

std::string attention_table(const Json& report) {
  std::string text =
      preface(report) + table_head({"task", "n", "attention", "forward, ms", "to softmax", "to reference",
                                    "forward+backward, ms", "to softmax", "to reference", "to its default",
                                    "extra memory, MiB", "of it working, MiB", "residual"});
  const Json& rows = report["rows"];
  for (size_t i = 0; i + 1 < rows.size(); i += 2) {
    const Json &forward = rows[i], &both = rows[i + 1];
    text += table_row({both["task"].get<std::string>(), concat(both["n"]), name_of(both),
                       milliseconds(forward), ratio_text(forward["ratio_to_softmax"]),
                       ratio_text(forward["ratio_to_reference"]), milliseconds(both),
                       ratio_text(both["ratio_to_softmax"]), ratio_text(both["ratio_to_reference"]),
                       ratio_text(both["ratio_to_default"]), mebibytes(both["peak_bytes"]),
                       mebibytes(both["working_bytes"]), residual_text(both["residual"])});
  }
  return text +
         concat("\nMedians of ", report["rounds"],
                " interleaved rounds. Ratios are times over those of softmax, of the published "
                "iteration (lotformer, "
                "reference: T = 50, plain ATen) and of the same module with default options; the "
                "extra memory is that of "
                "forward and backward together, the working memory what is left of it without the "
                "output and the gradients; the residual is the largest |c - sigma|_1 that a solver left.\n");
}

std::string memory_table(const Json& report) {
  if (report["rows"].empty()) return "";
  std::vector<std::string> head = {"attention"};
  for (const Json& length : report["rows"][0]["n"]) head.push_back(concat("n = ", length, ", MiB"));
  head.emplace_back("exponent");
  std::string text = preface(report) + table_head(head);
  for (const Json& row : report["rows"]) {
    std::vector<std::string> cells = {name_of(row)};
    for (const Json& bytes : row["peak_bytes"]) cells.push_back(mebibytes(bytes));
    cells.push_back(ratio_text(row["exponent"]));
    text += table_row(cells);
  }
  return text +
         "\nLargest extra memory of forward and backward; the exponent is the slope of log(bytes) over "
         "log(n), fitted to all lengths.\n";
}

std::string step_table(const Json& report) {
  std::string text;
  if (report.contains("command")) text = concat("`", report["command"].get<std::string>(), "`\n\n");
  text += concat(report["device"].get<std::string>(), ", ", report["threads"], " threads, ",
                 report["build_id"].get<std::string>(), "; task ", report["task"].get<std::string>(), " (",
                 report["data_origin"].get<std::string>(), " data).\n\n");
  text += table_head({"attention", "step, ms", "as a graph, ms", "real tokens/s", "operators", "host reads",
                      "moved, MiB", "parameters"});
  for (const Json& row : report["rows"]) {
    const double step_us = row["median_us"].get<double>();
    text +=
        table_row({row["attention"].get<std::string>(), format_fixed(step_us / 1000, 1),
                   row["graph_us"].is_null() ? "-" : format_fixed(row["graph_us"].get<double>() / 1000, 1),
                   format_count(static_cast<int64_t>(row["tokens"].get<double>() / step_us * 1e6)),
                   concat(row["operators"]), concat(row["host_reads"]), mebibytes(row["bytes"]),
                   format_count(row["parameters"].get<int64_t>())});
  }
  const Json& first = report["rows"].at(0);
  return text +
         concat("\nMedians of ", report["rounds"], " interleaved rounds over ", report["batches"],
                " batches of ", first["batch"], " examples (", first["tokens"], " real tokens, ",
                first["precision"].get<std::string>(),
                "). Operators: those of one step that are no views and call no other, on a GPU about as "
                "many launches; moved: the bytes of the tensors that they read and write.\n");
}

}  // namespace lotformer::bench
