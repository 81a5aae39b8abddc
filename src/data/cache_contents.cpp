// SPDX-License-Identifier: MIT
#include "data/cache_contents.h"

#include <algorithm>

#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

/// Offsets rise from 0 to the end of the documents, none of which is empty, and rows name documents that
/// exist.
bool has_right_offsets(const Cache& cache) {
  const CacheFooter& footer = cache.footer;
  const auto exists = [&](uint32_t document) { return document < footer.documents; };
  if (!std::all_of(cache.index.begin(), cache.index.end(), exists)) return false;
  if (footer.row_bytes != 0) return true;
  for (size_t i = 0; i + 1 < cache.offsets.size(); ++i) {
    if (cache.offsets[i] >= cache.offsets[i + 1]) return false;
  }
  return cache.offsets.front() == 0 && cache.offsets.back() == footer.token_bytes;
}

std::string length_problem(const Cache& cache, const CacheLimits& limits) {
  if (cache.footer.row_bytes != 0 || limits.longest == 0) return "";
  for (size_t i = 0; i + 1 < cache.offsets.size(); ++i) {
    const uint64_t length = cache.offsets[i + 1] - cache.offsets[i];
    if (length > limits.longest)
      return concat("document ", i, " has ", length, " tokens, at most ", limits.longest, " are possible");
  }
  return "";
}

std::string label_problem(const Cache& cache, const CacheLimits& limits) {
  for (size_t row = 0; row < cache.labels.size(); ++row) {
    const int64_t label = cache.labels[row];
    if (label < 0 || label >= limits.classes)
      return concat("label ", label, " of row ", row, " outside 0..", limits.classes - 1);
  }
  return "";
}

/// A count of pixels is not above the pixels, and ranks are each row's own.
std::string property_problem(const Cache& cache, const CacheLimits& limits) {
  const CacheFooter& footer = cache.footer;
  const auto property = [&](uint64_t row, uint64_t index) {
    return cache.properties[row * footer.properties + index];
  };
  for (uint64_t row = 0; limits.ink && row < footer.rows; ++row) {
    if (property(row, 0) > footer.row_bytes)
      return concat("row ", row, " has ", property(row, 0), " pixels that are not black, of ",
                    footer.row_bytes);
  }
  if (!limits.rank) return "";
  std::vector<bool> taken(footer.rows, false);
  for (uint64_t row = 0; row < footer.rows; ++row) {
    const uint64_t rank = property(row, *limits.rank);
    if (rank >= footer.rows || taken[rank])
      return concat("place ", rank, " of row ", row, " is outside 0..", footer.rows - 1, " or taken twice");
    taken[rank] = true;
  }
  return "";
}

}  // namespace

bool limited_bytes(const CacheFooter& footer, const CacheLimits& limits) {
  return limits.vocabulary(footer) < 256 + footer.id_offset;
}

std::string contents_problem(const Cache& cache, uint8_t largest_byte, const CacheLimits& limits) {
  const CacheFooter& footer = cache.footer;
  if (!has_right_offsets(cache)) return "its offsets are wrong";
  if (const uint64_t ids = limits.vocabulary(footer); largest_byte + footer.id_offset >= ids)
    return concat("it has id ", largest_byte + footer.id_offset, ", but there are ", ids, " ids");
  std::string problem = length_problem(cache, limits);
  if (problem.empty()) problem = label_problem(cache, limits);
  if (problem.empty()) problem = property_problem(cache, limits);
  return problem;
}

}  // namespace lotformer::data
