// SPDX-License-Identifier: MIT
#include "lotformer/data/stats.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

constexpr size_t kTopTokens = 12, kBins = 12;

struct Counts {
  std::vector<int64_t> labels, lengths;
  std::array<int64_t, 256> bytes{};
  int64_t tokens = 0;
};

Counts count(const Dataset& dataset, const Task& task, std::string_view split) {
  Counts counts;
  counts.labels.assign(static_cast<size_t>(task.num_classes()), 0);
  Progress progress(concat("reading ", split), dataset.size(), "examples");
  for (int64_t row = 0; row < dataset.size(); ++row) {
    ++counts.labels[static_cast<size_t>(dataset.label(row))];
    for (int64_t sequence = 0; sequence < dataset.sequences(); ++sequence) {
      const auto bytes = dataset.bytes(row, sequence);
      counts.lengths.push_back(static_cast<int64_t>(bytes.size()));
      counts.tokens += counts.lengths.back();
      for (const uint8_t byte : bytes) ++counts.bytes[byte];
    }
    progress.update(row + 1);
  }
  return counts;
}

/// Bins of equal width, a round number of tokens, from a multiple of it on.
Json histogram(const std::vector<int64_t>& lengths) {
  if (lengths.empty()) return Json::array();
  const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
  int64_t width = 0;
  for (const int64_t factor : {1, 2, 5}) {
    int64_t candidate = factor;
    while ((*most - *least) / candidate >= static_cast<int64_t>(kBins)) candidate *= 10;
    if (width == 0 || candidate < width) width = candidate;
  }
  const int64_t begin = *least / width * width;
  std::vector<int64_t> bins(static_cast<size_t>((*most - begin) / width + 1), 0);
  for (const int64_t length : lengths) ++bins[static_cast<size_t>((length - begin) / width)];
  Json result = Json::array();
  for (size_t i = 0; i < bins.size(); ++i) {
    const int64_t from = begin + static_cast<int64_t>(i) * width;
    result.push_back({{"from", from}, {"below", from + width}, {"sequences", bins[i]}});
  }
  return result;
}

Json top_tokens(const Counts& counts, const Dataset& dataset, const Vocabulary& vocabulary) {
  std::array<size_t, 256> order{};
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return counts.bytes[a] > counts.bytes[b]; });
  Json result = Json::array();
  for (size_t i = 0; i < kTopTokens && counts.bytes[order[i]] > 0; ++i) {
    const auto id = static_cast<int64_t>(order[i]) + dataset.id_offset();
    result.push_back(
        {{"id", id},
         {"token", token_text(vocabulary, id)},
         {"count", counts.bytes[order[i]]},
         {"share", static_cast<double>(counts.bytes[order[i]]) / static_cast<double>(counts.tokens)}});
  }
  return result;
}

Json split_stats(const Dataset& dataset, const Task& task, std::string_view split) {
  const Counts counts = count(dataset, task, split);
  const double mean = counts.lengths.empty()
                          ? 0
                          : static_cast<double>(counts.tokens) / static_cast<double>(counts.lengths.size());
  double variance = 0;
  for (const int64_t length : counts.lengths)
    variance += (static_cast<double>(length) - mean) * (static_cast<double>(length) - mean) /
                static_cast<double>(counts.lengths.size());
  Json classes;
  const auto names = task.class_names();
  for (size_t label = 0; label < names.size(); ++label) classes[names[label]] = counts.labels[label];
  const auto distinct =
      std::count_if(counts.bytes.begin(), counts.bytes.end(), [](int64_t n) { return n > 0; });
  return {{"examples", dataset.size()},
          {"tokens", counts.tokens},
          {"length_mean", mean},
          {"length_sd", std::sqrt(variance)},
          {"cut_examples", dataset.cut_examples()},
          {"classes", classes},
          {"lengths", histogram(counts.lengths)},
          {"distinct_tokens", distinct},
          {"top_tokens", top_tokens(counts, dataset, task.vocabulary())}};
}

std::string bar(double share) {
  constexpr double kWidth = 40;
  std::string result;
  for (int64_t i = 0; i < static_cast<int64_t>(share * kWidth + 0.5); ++i) result += "\u2588";
  return result;
}

std::string padded(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string percent(double share) {
  return padded(format_fixed(100 * share, 1), 5) + " %";
}

void describe_split(const std::string& name, const Json& split, std::string& out) {
  const auto examples = split["examples"].get<double>();
  out += concat(name, ": ", format_count(split["examples"].get<int64_t>()), " examples, ",
                format_count(split["tokens"].get<int64_t>()), " tokens, length ",
                format_fixed(split["length_mean"].get<double>(), 1), " +- ",
                format_fixed(split["length_sd"].get<double>(), 1), ", ",
                format_count(split["cut_examples"].get<int64_t>()), " cut\n  classes\n");
  for (const auto& [label, number] : split["classes"].items()) {
    const double share = examples > 0 ? number.get<double>() / examples : 0;
    out += concat("    ", padded(label, 18), " ", padded(format_count(number.get<int64_t>()), 9), " ",
                  percent(share), " ", bar(share), "\n");
  }
  out += "  lengths\n";
  double sequences = 0;
  for (const Json& bin : split["lengths"]) sequences += bin["sequences"].get<double>();
  for (const Json& bin : split["lengths"]) {
    const double share = bin["sequences"].get<double>() / sequences;
    const std::string range = concat(bin["from"].get<int64_t>(), "..", bin["below"].get<int64_t>() - 1);
    out += concat("    ", padded(range, 18), " ", padded(format_count(bin["sequences"].get<int64_t>()), 9),
                  " ", percent(share), " ", bar(share), "\n");
  }
  out += concat("  most frequent of ", split["distinct_tokens"].get<int64_t>(), " tokens\n");
  for (const Json& token : split["top_tokens"]) {
    const auto share = token["share"].get<double>();
    out += concat("    ", padded(token["token"].get<std::string>(), 18), " ",
                  padded(format_count(token["count"].get<int64_t>()), 9), " ", percent(share), " ",
                  bar(share), "\n");
  }
}

}  // namespace

std::string token_text(const Vocabulary& vocabulary, int64_t id) {
  const std::string& token = vocabulary.tokens.at(static_cast<size_t>(id));
  if (vocabulary.kind == Vocabulary::Kind::picture) return "grey " + token;
  if (vocabulary.kind == Vocabulary::Kind::expression || vocabulary.kind == Vocabulary::Kind::numbers)
    return token;
  if (token.size() > 1) return token.front() == '<' ? token : concat("'", token, "'");
  const auto byte = static_cast<uint8_t>(token.front());
  if (byte > ' ' && byte < 0x7F) return concat("'", token, "'");
  constexpr std::string_view kHex = "0123456789abcdef";
  return concat(byte == ' ' ? "blank " : "", "0x", kHex[byte / 16], kHex[byte % 16]);
}

Json task_stats(const std::string& name, const DataOptions& options, std::optional<Split> only) {
  const std::unique_ptr<Task> task = open_task(name, options);
  Json result = {{"task", name}, {"root", options.root}, {"data_origin", task->data_origin()}};
  for (const Split split : {Split::train, Split::val, Split::test}) {
    if (only && *only != split) continue;
    const std::string split_name(to_string(split));
    result["splits"][split_name] = split_stats(task->open(split), *task, split_name);
  }
  return result;
}

std::string describe_stats(const Json& stats) {
  std::string out = concat(stats["task"].get<std::string>(), " in ", stats["root"].get<std::string>(),
                           ", data origin: ", stats["data_origin"].get<std::string>(), "\n");
  for (const auto& [name, split] : stats["splits"].items()) describe_split(name, split, out);
  return out;
}

}  // namespace lotformer::data
