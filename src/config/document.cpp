// SPDX-License-Identifier: MIT
// --help-config and docs/config.md, from the same visit functions that read a file.
#include <algorithm>
#include <set>
#include <type_traits>
#include <vector>

#include "lotformer/config/load.h"
#include "lotformer/core/text.h"
#include "scalar.h"
#include "schema.h"

namespace lotformer {
namespace config {
namespace {

struct Row {
  std::string key, standard, allowed, help;
  /// The values of a key that has few; empty for numbers and free text.
  std::vector<std::string> choices = {};
};

struct Table {
  /// "" for the top level, "train", "model.attention with kind: softmax".
  std::string title;
  std::vector<Row> rows;
};

/// Collects the rows of one section.
class RowCollector final : public FieldVisitor {
 public:
  explicit RowCollector(std::string prefix) : prefix_(std::move(prefix)) {}
  void field(const FieldInfo& info, bool& value) override { add(info, value); }
  void field(const FieldInfo& info, int64_t& value) override { add(info, value); }
  void field(const FieldInfo& info, double& value) override { add(info, value); }
  void field(const FieldInfo& info, std::string& value) override { add(info, value); }
  void begin_section(const std::string& name) override { prefix_ += name + "."; }
  void end_section() override { prefix_.erase(prefix_.find_last_of('.', prefix_.size() - 2) + 1); }

  std::vector<Row> rows;

 private:
  template <class T>
  void add(const FieldInfo& info, const T& value) {
    rows.push_back({prefix_ + std::string(info.key), yaml_text(value), allowed_values(info, value),
                    std::string(info.help) + (info.bookkeeping ? " [bookkeeping]" : ""),
                    std::is_same_v<T, bool>
                        ? std::vector<std::string>{"true", "false"}
                        : std::vector<std::string>(info.choices.begin(), info.choices.end())});
  }
  std::string prefix_;
};

Table table(const std::string& title, const std::string& prefix, Options& options) {
  RowCollector collector(prefix);
  options.visit(collector);
  return {title, std::move(collector.rows)};
}

std::vector<Table> tables(const Kinds& kinds) {
  Config config;
  RowCollector top("");
  visit_top(config, kinds.tasks.names, top);
  top.rows.push_back({"base", "none", "a file name", std::string(kBaseHelp)});
  RowCollector kind("model.attention.");
  visit_kind(config.attention_kind, kinds.attention.names, kind);
  std::vector<Table> result = {{"", std::move(top.rows)},
                               table("data", "data.", config.data),
                               table("model", "model.", config.model),
                               {"model.attention", std::move(kind.rows)}};
  for (const std::string& name : kinds.attention.names) {
    result.push_back(
        table("model.attention with kind: " + name, "model.attention.", *kinds.attention.make(name)));
  }
  result.push_back(table("train", "train.", config.train));
  result.push_back(table("eval", "eval.", config.eval));
  return result;
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

/// Text of a cell of a Markdown table: a bar would end it.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

}  // namespace
}  // namespace config

std::string help_config(const Kinds& kinds) {
  std::string text =
      "Keys of a configuration file, as --set takes them: KEY = DEFAULT, what it means, what is allowed.\n"
      "[bookkeeping]: may change on a resume; any other key makes another experiment.\n";
  for (const config::Table& table : config::tables(kinds)) {
    text += "\n" + (table.title.empty() ? "top level" : table.title) + "\n";
    for (const config::Row& row : table.rows) {
      text += "  " + config::padded(row.key + " = " + row.standard, 42) + "  " + row.help + " (" +
              row.allowed + ")\n";
    }
  }
  return text;
}

std::vector<std::string> assignment_words(const Kinds& kinds) {
  std::set<std::string> words;
  for (const config::Table& table : config::tables(kinds)) {
    for (const config::Row& row : table.rows) {
      words.insert(row.key + "=");
      for (const std::string& choice : row.choices) words.insert(row.key + "=" + choice);
    }
  }
  return {words.begin(), words.end()};
}

std::string config_markdown(const Kinds& kinds) {
  std::string text = R"(# Configuration reference
<!-- Generated from the schema by lotformer-train; edit the visit functions, not this page. -->

A configuration is one YAML file. A key that the file leaves out comes from its `base:` file, then from the defaults below; `--set
model.attention.epsilon=0.5` on the command line wins over all of them. A `protocol` wins over what is weaker than the place that
names it: beside `protocol: lra` in a file, over its base; as `--set protocol=lra`, over the file. `--print-config` shows every value
with its origin. A file (or `--set`) that changes `model.attention.kind` hides the options that weaker files gave for the other kind.

`--config NAME` is looked for as given, then in the `configs` folder, then in `$LOTFORMER_CONFIG_DIR`; `base:` first beside the file
that includes it. Files have at most 256 KiB, no tabs in the indentation, one document, no tags; whole numbers are written in plain
digits, truth values as `true` and `false`. All errors are printed at once, one a line: `file:line:column: key: what is wrong`.

Keys marked [bookkeeping] say how a run is carried out, not which experiment it is: no weight and no score depends on them beyond
rounding, or results say so themselves (`train.on_nonfinite` and its keys: a run that stopped may go on). They may change from one start of a run to the next. Any other key makes another experiment: another `config_hash`, another
default run folder, and a resume refuses it. What is learned from is compared by the data's fingerprints, not by `data.root`.
)";
  for (const config::Table& table : config::tables(kinds)) {
    text += "\n## " + (table.title.empty() ? "Top level" : table.title) + "\n";
    if (table.rows.empty()) {
      text += "No options.\n";
      continue;
    }
    text += "| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n";
    for (const config::Row& row : table.rows) {
      text += "| `" + row.key + "` | `" + row.standard + "` | " + config::cell(row.allowed) + " | " +
              config::cell(row.help) + " |\n";
    }
  }
  return text;
}

}  // namespace lotformer
