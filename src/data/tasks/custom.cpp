// SPDX-License-Identifier: MIT
#include "data/tasks/custom.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "data/line_reader.h"
#include "data/tasks/lines_task.h"
#include "data/tasks/option_rules.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

constexpr int64_t kLargestId = 255;  // a cache keeps a token in a byte

/// Columns of a line, of which only the first three are kept; `count` counts all.
struct Columns {
  std::array<std::string_view, 3> texts;
  size_t count = 0;
};

Columns split_columns(std::string_view line) {
  Columns columns;
  for (size_t begin = 0;;) {
    const size_t tab = line.find('\t', begin);
    if (columns.count < columns.texts.size())
      columns.texts[columns.count] = line.substr(begin, tab == std::string_view::npos ? tab : tab - begin);
    ++columns.count;
    if (tab == std::string_view::npos) return columns;
    begin = tab + 1;
  }
}

/// A number of plain digits from 0 to `most`, or -1.
int64_t whole_number(std::string_view text, int64_t most) {
  uint32_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool good = end.ec == std::errc{} && end.ptr == text.data() + text.size() && value <= most;
  return good ? static_cast<int64_t>(value) : -1;
}

std::string counted_columns(size_t count) {
  return concat("has ", count, count == 1 ? " column" : " columns");
}

class CustomTask final : public LinesTask {
 public:
  explicit CustomTask(const DataOptions& options);
  std::string name() const override { return "custom"; }
  int64_t sequences() const override { return sequences_; }
  int64_t num_classes() const override { return static_cast<int64_t>(has_label_.size()); }
  std::vector<std::string> class_names() const override;
  Vocabulary vocabulary() const override;

 private:
  static Source source(const DataOptions& options);
  bool has_ids() const { return options_.tokenizer == "ids"; }
  void count_columns();
  void learn_from_training();
  void read(const Line& line, Split split, Row& row) const override;
  void read_ids(const Line& line, std::string_view column, Split split, std::vector<uint8_t>& tokens) const;
  std::string identity(Split split) const override;
  CacheLimits limits(Split split) const override;

  int64_t sequences_ = 1;
  // What the training file has, by label; and its largest id.
  std::vector<bool> has_label_;
  int64_t largest_id_ = kLargestId;
};

CustomTask::Source CustomTask::source(const DataOptions& options) {
  const std::array<std::string, 3> files = {"train.tsv", "val.tsv", "test.tsv"};
  return {.layout = {{}, {files.begin(), files.end()}},
          .files = files,
          .advice =
              concat("task custom reads ", join({files.begin(), files.end()}, ", "), ", lines of LABEL<TAB>",
                     options.tokenizer == "ids" ? "IDS" : "TEXT", ", in data.root (docs/data.md)"),
          .variant = options.tokenizer == "ids" ? "ids" : "byte",
          .cut = options.max_length > 0 ? options.max_length : kLongestCustomRow};
}

CustomTask::CustomTask(const DataOptions& options) : LinesTask(options, source(options), "custom") {
  count_columns();
  learn_from_training();
  if (options_.max_length > 0) return;
  longest_ = 0;
  for (const Split split : {Split::train, Split::val, Split::test})
    longest_ = std::max(longest_, longest_sequence(*decoded(split)));
  require_room(options_, longest_);
}

/// The first line of the training file decides whether rows are pairs; read() holds every other line to it.
void CustomTask::count_columns() {
  LineReader reader(file_of(Split::train));
  std::string_view text;
  // Of an empty file or line decode() complains.
  if (!reader.next(text) || text.empty()) return;
  const size_t count = split_columns(text).count;
  if (count != 2 && count != 3) {
    throw DataError::at_line(
        prefix_ + name_of(Split::train), 1,
        counted_columns(count) +
            ", 2 (label, text) or 3 (label and two texts) wanted, with a tab between them");
  }
  sequences_ = static_cast<int64_t>(count) - 1;
}

void CustomTask::learn_from_training() {
  const std::shared_ptr<const Cache> train = decoded(Split::train);
  const int32_t largest = *std::max_element(train->labels.begin(), train->labels.end());
  has_label_.assign(static_cast<size_t>(std::max(largest + 1, 2)), false);
  for (const int32_t label : train->labels) has_label_[static_cast<size_t>(label)] = true;
  largest_id_ = static_cast<int64_t>(train->footer.extras[0]);
  const auto absent = std::count(has_label_.begin(), has_label_.end(), false);
  if (absent > 0) {
    log::warning(concat("custom train: ", absent, " of the labels 0 to ", has_label_.size() - 1,
                        " have no example; the model has an output for them all the same"));
  }
}

std::vector<std::string> CustomTask::class_names() const {
  std::vector<std::string> names;
  for (size_t label = 0; label < has_label_.size(); ++label) names.push_back(std::to_string(label));
  return names;
}

Vocabulary CustomTask::vocabulary() const {
  Vocabulary result{has_ids() ? Vocabulary::Kind::numbers : Vocabulary::Kind::text, {"<pad>"}};
  for (int64_t token = 0; token <= (has_ids() ? largest_id_ : 255); ++token) {
    result.tokens.push_back(has_ids() ? std::to_string(token) : std::string(1, static_cast<char>(token)));
  }
  return result;
}

void CustomTask::read(const Line& line, Split split, Row& row) const {
  const Columns columns = split_columns(line.text);
  if (columns.count != static_cast<size_t>(sequences_) + 1) {
    line.fail(concat(counted_columns(columns.count), ", ", sequences_ + 1, " wanted as in line 1 of ",
                     name_of(Split::train), ": a label and ", sequences_ == 1 ? "a text" : "two texts",
                     " with a tab between them"));
  }
  const int64_t label = whole_number(columns.texts[0], kMostCustomClasses - 1);
  if (label < 0) {
    line.fail(concat("label ", quoted(columns.texts[0]), " is not a whole number from 0 to ",
                     kMostCustomClasses - 1, " (a header does not belong here)"));
  }
  const bool known = label < num_classes() && has_label_[static_cast<size_t>(label)];
  if (split != Split::train && !known)
    line.fail(concat("label ", label, " does not occur in ", name_of(Split::train)));
  row.label = static_cast<int32_t>(label);
  for (size_t sequence = 0; sequence < static_cast<size_t>(sequences_); ++sequence) {
    const std::string_view column = columns.texts[sequence + 1];
    if (column.empty())
      line.fail(concat("column ", sequence + 2, " is empty, ", has_ids() ? "ids" : "a text", " wanted"));
    if (has_ids()) {
      read_ids(line, column, split, row.tokens[sequence]);
    } else {
      row.tokens[sequence].assign(column.begin(), column.end());
    }
  }
}

void CustomTask::read_ids(const Line& line, std::string_view column, Split split,
                          std::vector<uint8_t>& tokens) const {
  for (size_t begin = column.find_first_not_of(' '); begin != std::string_view::npos;) {
    const size_t end = std::min(column.find(' ', begin), column.size());
    const std::string_view text = column.substr(begin, end - begin);
    const int64_t id = whole_number(text, kLargestId);
    if (id < 0) {
      line.fail(concat("id ", quoted(text), " is not a whole number from 0 to ", kLargestId,
                       " with blanks around it (data.tokenizer ids)"));
    }
    if (split != Split::train && id > largest_id_)
      line.fail(concat("id ", id, " is above ", largest_id_, ", the largest of ", name_of(Split::train)));
    tokens.push_back(static_cast<uint8_t>(id));
    begin = column.find_first_not_of(' ', end);
  }
  if (tokens.empty()) line.fail("a column has blanks only, ids wanted");
}

/// Validation and test are held to what training has.
std::string CustomTask::identity(Split split) const {
  if (split == Split::train) return {};
  std::string labels;
  for (const bool has : has_label_) labels += has ? '1' : '0';
  return concat(labels, " ", largest_id_);
}

CacheLimits CustomTask::limits(Split split) const {
  CacheLimits limits = {.classes = split == Split::train ? kMostCustomClasses : num_classes(),
                        .longest = static_cast<uint64_t>(source_.cut),
                        .vocabulary = fixed_vocabulary(vocab_size())};
  if (split == Split::train && has_ids()) {
    limits.vocabulary = [](const CacheFooter& footer) {
      return footer.extras[0] <= static_cast<uint64_t>(kLargestId) ? footer.extras[0] + 2 : 0;
    };
  }
  return limits;
}

std::unique_ptr<Task> open_custom(const DataOptions& options) {
  return std::make_unique<CustomTask>(options);
}

}  // namespace

TaskSpec custom_spec() {
  return {.name = "custom", .sequences = 0, .options = {{"tokenizer", {"ids"}}}, .open = &open_custom};
}

}  // namespace lotformer::data
