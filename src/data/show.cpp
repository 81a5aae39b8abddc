// SPDX-License-Identifier: MIT
#include "lotformer/data/show.h"

#include <cmath>

#include "data/png_writer.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/data/stats.h"

namespace lotformer::data {
namespace {

bool is_picture(const Dataset& dataset) {
  return dataset.fixed_bytes() > 0;
}

Json sequence_object(const Dataset& dataset, int64_t row, int64_t sequence) {
  Json ids = Json::array();
  for (const uint8_t byte : dataset.bytes(row, sequence)) ids.push_back(byte + dataset.id_offset());
  Json result = {{"length", ids.size()}, {"ids", ids}};
  if (dataset.id_offset() == 1) result["text"] = printable(dataset.bytes(row, sequence));
  return result;
}

std::string sequence_text(const Dataset& dataset, int64_t row, int64_t sequence, Ink ink) {
  const auto bytes = dataset.bytes(row, sequence);
  if (is_picture(dataset)) return half_blocks(bytes, ink);
  if (dataset.id_offset() == 0) return listops_tree(bytes);
  const std::string title =
      dataset.sequences() > 1 ? concat("--- document ", sequence + 1, ", ", bytes.size(), " bytes\n") : "";
  return title + printable(bytes) + "\n";
}

}  // namespace

Example show_example(const std::string& name, const DataOptions& options, Split split, int64_t row, Ink ink) {
  const std::unique_ptr<Task> task = open_task(name, options);
  const Dataset dataset = task->open(split);
  if (row < 0 || row >= dataset.size()) {
    throw Error(ErrorKind::usage,
                concat("show: --row must lie in 0..", dataset.size() - 1, " (", to_string(split), " has ",
                       format_count(dataset.size()), " examples), got ", row));
  }
  const int64_t label = dataset.label(row);
  const std::string class_name = task->class_names()[static_cast<size_t>(label)];
  Example result;
  result.object = {{"task", name},
                   {"data_origin", task->data_origin()},
                   {"split", to_string(split)},
                   {"row", row},
                   {"label", label},
                   {"class", class_name}};
  const std::string origin = task->data_origin();
  result.text = concat(name, " ", to_string(split), " row ", row, ": label ", label,
                       class_name == std::to_string(label) ? "" : concat(" (", class_name, ")"), ", ",
                       is_picture(dataset) ? "pixels " : "tokens ", dataset.bytes(row).size(),
                       ", data origin ", origin, "\n");
  for (int64_t sequence = 0; sequence < dataset.sequences(); ++sequence) {
    result.object["sequences"].push_back(sequence_object(dataset, row, sequence));
    result.text += sequence_text(dataset, row, sequence, ink);
  }
  if (is_picture(dataset)) {
    const auto edge =
        static_cast<uint32_t>(std::lround(std::sqrt(static_cast<double>(dataset.fixed_bytes()))));
    result.png = encode_png(dataset.bytes(row), edge, edge);
  }
  return result;
}

}  // namespace lotformer::data
