// SPDX-License-Identifier: MIT
#include "data/tasks/text.h"

#include <algorithm>
#include <array>
#include <map>

#include "data/cache.h"
#include "data/generate/generators.h"
#include "data/split_order.h"
#include "data/tasks/directory_task.h"
#include "data/tasks/source_files.h"
#include "data/tasks/text_encoder.h"
#include "data/tasks/text_files.h"
#include "lotformer/core/log.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

using reviews::Review;

// Part of the caches' identity: raise it when rows would be read otherwise.
constexpr int kTextReaderVersion = 1;
constexpr int64_t kMostBytes = int64_t{16} << 20;  // of one review
constexpr size_t kOfficialReviews = 25000;         // of either split
constexpr uint64_t kLeastTextFrequency = 15;       // of a character in the training reviews
constexpr TaskLength kTextLength = {.own = 4000, .with_char = 4096};

class TextTask final : public DirectoryTask {
 public:
  explicit TextTask(const DataOptions& options);
  std::string name() const override { return "text"; }
  int64_t vocab_size() const override { return encoder_.vocab_size(); }
  int64_t max_length() const override { return std::max(encoder_.max_length(), options_.pad_to); }
  std::vector<std::string> class_names() const override { return {"neg", "pos"}; }
  Vocabulary vocabulary() const override { return encoder_.vocabulary(); }
  Dataset open(Split split) override;
  bool val_is_test() const override { return options_.val == "test"; }
  std::vector<Attribute> attributes() const override;

 private:
  std::shared_ptr<const Cache> decoded(const std::string& folder);
  std::string source_digest(const std::vector<Review>& reviews, const std::string& folder) const;
  void number_characters(const std::vector<Review>& reviews);
  void decode(const std::vector<Review>& reviews, CacheBuilder& builder);
  std::string_view read(FileFence& files, const Review& review, std::string& bytes) const;
  [[noreturn]] void fail_not_utf8(const Review& review) const;
  Dataset part_of_train(bool held_out);

  TextEncoder encoder_;
  std::map<std::string, std::shared_ptr<const Cache>> decoded_;  // "train", "test"
};

TextTask::TextTask(const DataOptions& options)
    : DirectoryTask(options), encoder_(kTextLength, kLeastTextFrequency, options) {
  const Layout layout = {{"aclImdb"}, {"train/neg", "train/pos", "test/neg", "test/pos"}};
  directory_ = require_directory(options_.root, layout, "it is the IMDb set aclImdb, see scripts/get_lra.sh");
  prefix_ = message_prefix(options_.root, directory_);
  read_record("text");
  if (encoder_.by_character()) decoded("train");  // its numbering decides the size of the vocabulary
}

std::string TextTask::source_digest(const std::vector<Review>& reviews, const std::string& folder) const {
  SourceIdentity identity(concat("text reader ", kTextReaderVersion, " ", encoder_.name()));
  if (folder != "train") identity.add(encoder_.numbering());
  Progress progress("looking at the files of text", static_cast<int64_t>(reviews.size()), "reviews");
  int64_t done = 0;
  for (const Review& review : reviews) {
    identity.add_file(directory_, review.name, prefix_);
    progress.update(++done);
  }
  return identity.digest();
}

std::string_view TextTask::read(FileFence& files, const Review& review, std::string& bytes) const {
  files.read(review.name, kMostBytes, bytes);
  if (bytes.empty()) throw DataError::at_file(prefix_ + review.name, "review is empty (0 bytes)");
  const std::string_view text = reviews::strip(bytes);
  if (text.empty()) throw DataError::at_file(prefix_ + review.name, "review is empty: only white space");
  return text;
}

void TextTask::fail_not_utf8(const Review& review) const {
  throw DataError::at_file(
      prefix_ + review.name,
      "is not valid UTF-8, which data.tokenizer=char needs; the byte tokeniser takes it");
}

/// First pass of `tokenizer: char` over the training reviews.
void TextTask::number_characters(const std::vector<Review>& reviews) {
  encoder_ = TextEncoder(kTextLength, kLeastTextFrequency, options_);
  FileFence files = fence();
  std::string bytes;
  Progress progress("counting characters of text", static_cast<int64_t>(reviews.size()), "reviews");
  int64_t done = 0;
  for (const Review& review : reviews) {
    if (!encoder_.count(read(files, review, bytes))) fail_not_utf8(review);
    progress.update(++done);
  }
  encoder_.number(prefix_ + "train");
}

void TextTask::decode(const std::vector<Review>& reviews, CacheBuilder& builder) {
  FileFence files = fence();
  std::string bytes;
  Progress progress("reading text", static_cast<int64_t>(reviews.size()), "reviews");
  for (const Review& review : reviews) {
    const auto encoded = encoder_.encode(read(files, review, bytes));
    if (!encoded) fail_not_utf8(review);
    builder.add_document(encoded->ids);
    builder.end_row(review.label, std::array<uint32_t, 1>{encoded->full_length}, encoded->cut);
    progress.update(builder.rows());
  }
}

std::shared_ptr<const Cache> TextTask::decoded(const std::string& folder) {
  std::shared_ptr<const Cache>& result = decoded_[folder];
  if (result) return result;
  const std::vector<Review> reviews = reviews::list(directory_, prefix_, folder, links());
  if (is_official() && reviews.size() != kOfficialReviews) {
    log::warning(concat("text ", folder, ": ", format_count(static_cast<int64_t>(reviews.size())),
                        " reviews; the official set has 25,000"));
  }
  CacheRequest request = cache_request();
  request.name = concat(folder, "-", encoder_.name(), ".cache");
  request.source = source_digest(reviews, folder);
  request.shape.properties = 1;
  request.shape.id_offset = encoder_.id_offset();
  request.limits = encoder_.limits(folder == "train");
  request.build = [&](CacheBuilder& builder) {
    const bool numbers = encoder_.by_character() && folder == "train";
    if (numbers) number_characters(reviews);
    decode(reviews, builder);
    if (numbers) encoder_.store(builder);
    if (source_digest(reviews::list(directory_, prefix_, folder, links()), folder) != request.source)
      throw DataError::at_file(prefix_ + folder, "its files changed while they were read");
  };
  result = open_cache(request);
  if (encoder_.by_character() && folder == "train") encoder_.load(*result);
  return result;
}

/// `val: holdout`: per class the last tenth of a permutation is validation, the rest training.
Dataset TextTask::part_of_train(bool held_out) {
  const auto cache = decoded("train");
  std::vector<uint32_t> rows;
  for (const int32_t label : {0, 1}) {
    std::vector<uint32_t> of_class;
    for (uint32_t row = 0; row < cache->labels.size(); ++row) {
      if (cache->labels[row] == label) of_class.push_back(row);
    }
    const auto size = static_cast<uint32_t>(of_class.size());
    const std::vector<uint32_t> order = torch42_order(size);
    const uint32_t first_held_out = size - size / 10;
    for (uint32_t i = held_out ? first_held_out : 0; i < (held_out ? size : first_held_out); ++i)
      rows.push_back(of_class[order[i]]);
  }
  std::sort(rows.begin(), rows.end());
  const auto room = static_cast<uint32_t>(encoder_.max_length() - (encoder_.by_character() ? 1 : 0));
  const int64_t cut =
      std::count_if(rows.begin(), rows.end(), [&](uint32_t row) { return cache->properties[row] > room; });
  return some_rows(cache, std::move(rows), cut);
}

Dataset TextTask::open(Split split) {
  if (split == Split::val && val_is_test()) {
    log::warning(
        "text: validation uses the test files, as the benchmark does; 'best validation' is chosen on the "
        "test "
        "set (data.val=holdout takes a tenth of the training files instead)");
  }
  if (split != Split::test && !val_is_test()) return part_of_train(split == Split::val);
  return all_rows(decoded(split == Split::train ? "train" : "test"));
}

std::vector<Attribute> TextTask::attributes() const {
  Attribute length{"length", {0, 250, 500, 1000, 1500, 2000, 3000, 4000, no_upper_bound()}, nullptr};
  length.value = [](const Dataset& dataset, int64_t row) { return dataset.property(row, 0); };
  return {length};
}

std::unique_ptr<Task> open_text(const DataOptions& options) {
  return std::make_unique<TextTask>(options);
}

}  // namespace

TaskSpec text_spec() {
  return {.name = "text",
          .length = kTextLength,
          .options = {{"tokenizer", {"char"}}, {"append_eos", {"true"}}, {"val", {"holdout"}}},
          .conflicts = &text_conflicts,
          .open = &open_text,
          .generator = text_generator()};
}

}  // namespace lotformer::data
