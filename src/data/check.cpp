// SPDX-License-Identifier: MIT
#include "lotformer/data/check.h"

#include <algorithm>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

/// Minimum, lower quartile, median, upper quartile, maximum (nearest rank); nothing of nothing.
Json quartiles(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  Json result = Json::array();
  if (values.empty()) return result;
  for (size_t quarter = 0; quarter <= 4; ++quarter)
    result.push_back(values[(values.size() - 1) * quarter / 4]);
  return result;
}

Json summarise(const Dataset& dataset, const Task& task) {
  std::vector<int64_t> by_label(static_cast<size_t>(task.num_classes()), 0);
  std::vector<int64_t> lengths;
  int64_t tokens = 0;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    ++by_label[static_cast<size_t>(dataset.label(row))];
    for (int64_t sequence = 0; sequence < dataset.sequences(); ++sequence) {
      lengths.push_back(dataset.length(row, sequence));
      tokens += lengths.back();
    }
  }
  Json classes;
  const auto names = task.class_names();
  for (size_t label = 0; label < names.size(); ++label) classes[names[label]] = by_label[label];
  return {{"examples", dataset.size()},
          {"classes", classes},
          {"tokens", tokens},
          {"length_quartiles", quartiles(std::move(lengths))},
          {"cut_examples", dataset.cut_examples()},
          {"fingerprint", dataset.fingerprint()}};
}

std::string percent(double fraction) {
  return format_fixed(100 * fraction, 1) + " %";
}

void describe_split(const std::string& name, const Json& split, std::string& out) {
  const auto examples = split["examples"].get<int64_t>();
  if (examples == 0) {
    out += concat(name, ": no examples (the set is too small to be divided; training refuses it)\n");
    return;
  }
  const auto q = split["length_quartiles"].get<std::vector<int64_t>>();
  std::vector<std::string> classes;
  for (const auto& [label, count] : split["classes"].items()) {
    classes.push_back(concat(label, ": ", percent(count.get<double>() / static_cast<double>(examples))));
  }
  out += concat(name, ": ", format_count(examples), " examples, ",
                format_count(split["tokens"].get<int64_t>()), " tokens\n");
  out +=
      concat("  length     min ", q[0], ", quartiles ", q[1], " / ", q[2], " / ", q[3], ", max ", q[4], "\n");
  out += concat("  classes    ", join(classes, ", "), "\n");
  out += concat("  cut        ", format_count(split["cut_examples"].get<int64_t>()), " examples\n");
  out += concat("  fingerprint ", split["fingerprint"].get<std::string>(), "\n");
}

/// Where a label can be worked out.
bool verifies_labels(const std::string& task) {
  return find_task(task).accepts("verify_labels", "true");
}

}  // namespace

Json check_task(const std::string& name, DataOptions options) {
  options.verify_labels = options.verify_labels || verifies_labels(name);
  options.rebuild_cache = true;
  const std::unique_ptr<Task> task = open_task(name, options);
  Json summary = {{"task", name},
                  {"root", options.root},
                  {"data_origin", task->data_origin()},
                  {"val_is_test", task->val_is_test()},
                  {"vocab_size", task->vocab_size()},
                  {"max_length", task->max_length()},
                  {"metrics", task->metrics()}};
  for (const Split split : {Split::train, Split::val, Split::test}) {
    summary["splits"][std::string(to_string(split))] = summarise(task->open(split), *task);
  }
  summary["references"] = Json::array();
  for (const Reference& reference : task->references()) {
    summary["references"].push_back(
        {{"name", reference.name}, {"accuracy", reference.accuracy}, {"source", reference.source}});
  }
  summary["provenance"] = task->provenance();
  return summary;
}

std::string describe_check(const Json& summary) {
  std::string out = concat(
      summary["task"].get<std::string>(), " in ", summary["root"].get<std::string>(), ": every example reads",
      verifies_labels(summary["task"].get<std::string>()) ? " and every label is right\n" : "\n",
      "data origin: ", summary["data_origin"].get<std::string>());
  if (const Json& record = summary["provenance"]; record.contains("parameters")) {
    out += " (" + to_line(record["parameters"]) + ")";
  }
  out += "\n";
  if (summary["val_is_test"].get<bool>()) out += "validation and test are the same examples\n";
  for (const auto& [name, split] : summary["splits"].items()) describe_split(name, split, out);
  out += concat("scored by: ", join(summary["metrics"].get<std::vector<std::string>>(), ", "), "\n");
  for (const Json& reference : summary["references"]) {
    out += concat("reference: ", reference["name"].get<std::string>(), " -> ",
                  percent(reference["accuracy"].get<double>()), " (", reference["source"].get<std::string>(),
                  ")\n");
  }
  return out;
}

}  // namespace lotformer::data
