// SPDX-License-Identifier: MIT
#include "prediction_file.h"

#include <ATen/ops/softmax.h>

#include <array>
#include <charconv>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

/// Without the class, which stands in the second column.
std::vector<data::Attribute> columns_for(const data::Task& task) {
  std::vector<data::Attribute> columns;
  for (data::Attribute& attribute : task.attributes()) {
    if (attribute.name != "class") columns.push_back(std::move(attribute));
  }
  if (columns.empty())
    columns.push_back({"length", {}, [](const data::Dataset& d, int64_t row) { return d.length(row, 0); }});
  return columns;
}

/// Six significant digits.
void append_probability(std::string& line, float p) {
  std::array<char, 32> text;
  line.append(text.data(),
              std::to_chars(text.data(), text.data() + text.size(), p, std::chars_format::general, 6).ptr);
}

/// The shortest decimal that reads as the same float32.
void append_logit(std::string& line, float logit) {
  std::array<char, 32> text;
  line.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), logit).ptr);
}

std::string header_for(const data::Task& task, const std::vector<data::Attribute>& attributes) {
  std::string line = "row\tlabel\tprediction";
  for (const data::Attribute& attribute : attributes) line += "\t" + attribute.name;
  for (const char* kind : {"p:", "logit:"}) {
    for (const std::string& name : task.class_names()) line += concat("\t", kind, name);
  }
  return line + "\n";
}

}  // namespace

void check_predictions_path(const std::filesystem::path& path) {
  const auto folder = path.parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw Error(ErrorKind::usage, "--predictions: there is no folder " + folder.string());
  if (std::filesystem::is_directory(path))
    throw Error(ErrorKind::usage, "--predictions: " + path.string() + " is a folder; name a file");
}

void write_predictions(const std::filesystem::path& path, const data::Task& task,
                       const data::Dataset& dataset, const EvalResult& result) {
  const auto attributes = columns_for(task);
  const int64_t classes = result.logits.size(1);
  const at::Tensor logits = result.logits.contiguous(), probabilities = at::softmax(logits, 1);
  const auto fill = [&](FileWriter& out) {
    out.write(header_for(task, attributes));
    const float *p = probabilities.const_data_ptr<float>(), *z = logits.const_data_ptr<float>();
    for (const Prediction& example : result.predictions) {
      std::string line = concat(example.row, "\t", example.label, "\t", example.predicted);
      for (const data::Attribute& attribute : attributes)
        line += concat("\t", attribute.value(dataset, example.row));
      for (int64_t c = 0; c < classes; ++c) append_probability(line += '\t', *p++);
      for (int64_t c = 0; c < classes; ++c) append_logit(line += '\t', *z++);
      out.write(line + "\n");
    }
  };
  const auto status = std::filesystem::symlink_status(path);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status))
    return write_atomic(path, fill);
  FileWriter out(path);  // a device, pipe or link is written, not replaced
  fill(out);
  out.commit();
}

}  // namespace lotformer
