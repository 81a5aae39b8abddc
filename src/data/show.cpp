// SPDX-License-Identifier: MIT
#include "lotformer/data/show.h"

#include <cmath>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/data/png_writer.h"
#include "lotformer/data/stats.h"

namespace lotformer::data {
namespace {

using Kind = Vocabulary::Kind;

std::vector<std::string> tokens_of(const Dataset& dataset, const Vocabulary& vocabulary, int64_t row,
                                   int64_t sequence) {
  std::vector<std::string> tokens;
  for (const uint8_t byte : dataset.bytes(row, sequence))
    tokens.push_back(vocabulary.tokens.at(static_cast<size_t>(byte + dataset.id_offset())));
  return tokens;
}

/// Tokens one behind the other: a text whatever the tokeniser was.
std::string joined(const std::vector<std::string>& tokens) {
  const std::string text = join(tokens, "");
  return printable({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Json sequence_object(const Dataset& dataset, const Vocabulary& vocabulary, int64_t row, int64_t sequence) {
  Json ids = Json::array();
  for (const uint8_t byte : dataset.bytes(row, sequence)) ids.push_back(byte + dataset.id_offset());
  Json result = {{"length", ids.size()}, {"ids", ids}};
  if (vocabulary.kind == Kind::picture) return result;
  const std::vector<std::string> tokens = tokens_of(dataset, vocabulary, row, sequence);
  result["text"] = vocabulary.kind == Kind::text ? joined(tokens) : join(tokens, " ");
  return result;
}

std::string sequence_text(const Dataset& dataset, const Vocabulary& vocabulary, int64_t row, int64_t sequence,
                          Ink ink) {
  if (vocabulary.kind == Kind::picture) return half_blocks(dataset.bytes(row, sequence), ink);
  const std::vector<std::string> tokens = tokens_of(dataset, vocabulary, row, sequence);
  if (vocabulary.kind == Kind::expression) return listops_tree(tokens);
  const std::string title =
      dataset.sequences() > 1 ? concat("--- document ", sequence + 1, ", ", tokens.size(), " tokens\n") : "";
  return title + (vocabulary.kind == Kind::text ? joined(tokens) : join(tokens, " ")) + "\n";
}

}  // namespace

Example show_example(const std::string& name, const DataOptions& options, Split split, int64_t row, Ink ink) {
  const std::unique_ptr<Task> task = open_task(name, options);
  const Dataset dataset = task->open(split);
  const Vocabulary vocabulary = task->vocabulary();
  const bool picture = vocabulary.kind == Kind::picture;
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
  result.text =
      concat(name, " ", to_string(split), " row ", row, ": label ", label,
             class_name == std::to_string(label) ? "" : concat(" (", class_name, ")"), ", ",
             picture ? "pixels " : "tokens ", dataset.bytes(row).size(), ", data origin ", origin, "\n");
  for (int64_t sequence = 0; sequence < dataset.sequences(); ++sequence) {
    result.object["sequences"].push_back(sequence_object(dataset, vocabulary, row, sequence));
    result.text += sequence_text(dataset, vocabulary, row, sequence, ink);
  }
  if (picture) {
    const auto edge =
        static_cast<uint32_t>(std::lround(std::sqrt(static_cast<double>(dataset.fixed_bytes()))));
    result.png = encode_png(dataset.bytes(row), edge, edge);
  }
  return result;
}

}  // namespace lotformer::data
