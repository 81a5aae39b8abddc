// SPDX-License-Identifier: MIT
#include "protocol.h"

#include <array>

namespace lotformer::config {
namespace {

struct Published {
  std::string_view task;  // empty: all tasks
  std::string_view path;
  std::string_view value;
};

constexpr std::array<Published, 11> kPublished = {{
    {"listops", "data.max_length", "2000"},
    {"listops", "data.pad_to", "2048"},      // every batch, whatever its longest sequence
    {"listops", "data.tokenizer", "alnum"},  // their tokeniser keeps letters and digits: "]" is lost
    {"listops", "data.vocab",
     "default"},  // theirs is set order, equivalent up to a permutation of the embedding
    {"listops", "data.append_eos", "false"},        //
    {"", "model.pooling", "padded_mean"},           // sum over real tokens divided by the padded length
    {"", "model.attention.mode", "reference"},      // r^-2 scale, padding takes part
    {"", "model.attention.half_iterations", "50"},  // without a test of convergence
    {"", "model.attention.masses", "uniform"},      //
    {"", "model.attention.pivot_init", "0.02"},     //
    {"", "eval.drop_last", "true"},                 // a last partial batch is not scored, in test neither
}};

}  // namespace

std::optional<std::string_view> published_value(const std::string& task, const std::string& path) {
  for (const Published& row : kPublished) {
    if (row.path == path && (row.task.empty() || row.task == task)) return row.value;
  }
  return std::nullopt;
}

}  // namespace lotformer::config
