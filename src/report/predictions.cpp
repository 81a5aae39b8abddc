// SPDX-License-Identifier: MIT
#include "predictions.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{256} << 20;
constexpr size_t kMostClasses = 1000;
constexpr std::string_view kProbability = "p:";  // of a column: "p:NAME"
constexpr std::string_view kLogit = "logit:";

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

int64_t whole_number(std::string_view text, const std::string& place) {
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size())
    throw Error(ErrorKind::usage, concat(place, ": ", quoted(text), " is no whole number"));
  return value;
}

class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  PredictionTable read(std::string_view text) {
    int64_t number = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const auto cells = cells_of(text.substr(begin, end - begin));
      ++number == 1 ? header(cells) : row(cells, concat(name_, ", line ", number));
      begin = end + 1;
    }
    return std::move(table_);
  }

 private:
  void header(const std::vector<std::string_view>& cells) {
    width_ = cells.size();
    if (width_ < 3 || cells[0] != "row" || cells[1] != "label" || cells[2] != "prediction")
      throw Error(ErrorKind::usage, name_ + ": does not begin with row, label, prediction");
    for (size_t i = 3; i < cells.size(); ++i) {
      if (cells[i].starts_with(kProbability)) {
        table_.classes.emplace_back(cells[i].substr(kProbability.size()));
      } else if (!cells[i].starts_with(kLogit)) {
        attribute_columns_.push_back(i);
        table_.attributes.emplace_back(cells[i]);
      }
    }
    table_.attribute_values.resize(table_.attributes.size());
  }

  void row(const std::vector<std::string_view>& cells, const std::string& place) {
    if (cells.size() != width_)
      throw Error(ErrorKind::usage, concat(place, ": ", cells.size(), " cells, the first line has ", width_));
    for (const size_t i : {size_t{1}, size_t{2}}) {
      const int64_t value = whole_number(cells[i], place);
      if (value < 0 || value >= static_cast<int64_t>(kMostClasses))
        throw Error(ErrorKind::usage,
                    concat(place, ": class ", value, " is outside 0 to ", kMostClasses - 1));
      (i == 1 ? table_.label : table_.prediction).push_back(value);
    }
    for (size_t a = 0; a < attribute_columns_.size(); ++a)
      table_.attribute_values[a].push_back(whole_number(cells[attribute_columns_[a]], place));
  }

  std::string name_;
  PredictionTable table_;
  size_t width_ = 0;
  std::vector<size_t> attribute_columns_;
};

}  // namespace

std::optional<PredictionTable> read_predictions(const fs::path& folder, std::vector<std::string>& notes) {
  const fs::path path = folder / "evaluation" / "predictions.tsv";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    PredictionTable table =
        Reader("evaluation/predictions.tsv").read(read_file(path, ErrorKind::usage, kMostBytes));
    if (!table.label.empty()) return table;
    notes.push_back("evaluation/predictions.tsv has no rows");
  } catch (const Error& error) {
    notes.push_back(one_line(error.what()));
  }
  return std::nullopt;
}

std::vector<std::vector<int64_t>> confusion_of(const PredictionTable& table) {
  int64_t classes = static_cast<int64_t>(table.classes.size());
  for (size_t i = 0; i < table.label.size(); ++i)
    classes = std::max({classes, table.label[i] + 1, table.prediction[i] + 1});
  std::vector<std::vector<int64_t>> counts(classes, std::vector<int64_t>(classes, 0));
  for (size_t i = 0; i < table.label.size(); ++i) ++counts[table.label[i]][table.prediction[i]];
  return counts;
}

std::vector<AccuracyBin> accuracy_by(const PredictionTable& table, size_t attribute, int bins) {
  const std::vector<int64_t>& values = table.attribute_values[attribute];
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  const size_t wanted = std::max<size_t>(1, order.size() / static_cast<size_t>(bins));
  std::vector<AccuracyBin> result;
  size_t begin = 0;
  while (begin < order.size()) {
    size_t end = std::min(begin + wanted, order.size());
    // Equal values are never torn apart, and what would be left over alone goes with the last bin.
    while (end < order.size() && (values[order[end]] == values[order[end - 1]])) ++end;
    if (order.size() - end < wanted / 2) end = order.size();
    AccuracyBin bin{values[order[begin]], values[order[end - 1]], static_cast<int64_t>(end - begin), 0};
    int64_t right = 0;
    for (size_t i = begin; i < end; ++i) right += table.label[order[i]] == table.prediction[order[i]];
    bin.accuracy = static_cast<double>(right) / static_cast<double>(bin.examples);
    result.push_back(bin);
    begin = end;
  }
  return result;
}

}  // namespace lotformer::report
