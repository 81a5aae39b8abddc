// SPDX-License-Identifier: MIT
#include "data/tasks/text_files.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "data/tasks/source_files.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data::reviews {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFolders[] = {"neg", "pos"};
constexpr int64_t kLowest[] = {1, 7}, kHighest[] = {4, 10};  // ratings

/// Digits at the front of `text`, at most 15 of them, as a number; false when there are none.
bool take_number(std::string_view& text, int64_t& number) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > 15) return false;
  std::from_chars(text.data(), text.data() + digits, number);
  text.remove_prefix(digits);
  return true;
}

bool parse_name(std::string_view name, Review& review) {
  if (!take_number(name, review.id) || !name.starts_with('_')) return false;
  name.remove_prefix(1);
  return take_number(name, review.rating) && name == ".txt";
}

void check_rating(const Review& review, const std::string& prefix) {
  const int64_t low = kLowest[review.label], high = kHighest[review.label];
  if (review.rating >= low && review.rating <= high) return;
  throw DataError::at_file(
      prefix + review.name,
      concat("rating ", review.rating, " under ", kFolders[review.label], ", ", low, "..", high, " wanted"));
}

}  // namespace

std::vector<Review> list(const fs::path& directory, const std::string& prefix, const std::string& split,
                         Links links) {
  std::vector<Review> result;
  for (const int label : {0, 1}) {
    const std::string folder = concat(split, "/", kFolders[label]);
    FileFence(directory, prefix, links).require_folder(folder);
    std::error_code code;
    fs::directory_iterator entry(directory / folder, code);
    if (code) throw DataError::at_file(prefix + folder, "cannot be read: " + code.message());
    const size_t before = result.size();
    Droppings droppings(prefix + folder);
    for (; entry != fs::directory_iterator(); entry.increment(code)) {
      if (code) throw DataError::at_file(prefix + folder, "cannot be read: " + code.message());
      const std::string name = entry->path().filename().string();
      if (droppings.take(name)) continue;
      Review review{concat(folder, "/", name), label, 0, 0};
      if (!parse_name(name, review)) {
        throw DataError::at_file(prefix + folder + "/" + printable(name),
                                 "file name is not <id>_<rating>.txt");
      }
      check_rating(review, prefix);
      result.push_back(std::move(review));
    }
    if (result.size() == before) throw DataError::at_file(prefix + folder, "is empty: no review in it");
  }
  std::sort(result.begin(), result.end(), [](const Review& a, const Review& b) {
    return std::tie(a.label, a.id, a.rating, a.name) < std::tie(b.label, b.id, b.rating, b.name);
  });
  for (size_t i = 1; i < result.size(); ++i) {  // 2_2.txt and 02_2.txt
    const Review &one = result[i - 1], &other = result[i];
    if (one.label == other.label && one.id == other.id && one.rating == other.rating)
      throw DataError::at_file(prefix + one.name, "has the id and rating of " + other.name);
  }
  return result;
}

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace lotformer::data::reviews
