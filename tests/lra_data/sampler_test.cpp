// SPDX-License-Identifier: MIT
#include "lotformer/data/sampler.h"

#include <algorithm>
#include <set>

#include "lotformer/core/rng.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

using Rows = std::vector<int64_t>;

Rows take(Sampler& sampler, int64_t first_step, int64_t steps) {
  Rows rows;
  for (int64_t step = first_step; step < first_step + steps; ++step) {
    const Rows batch = sampler.batch(step);
    rows.insert(rows.end(), batch.begin(), batch.end());
  }
  return rows;
}

TEST_CASE("sampler: the epochs are the permutations of the data contract, one after the other") {
  constexpr int64_t kRows = 10, kBatch = 4;
  Sampler sampler(kRows, kBatch, 7);
  const Rows rows = take(sampler, 0, 10);  // four epochs
  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    const auto wanted = mt_permutation(kRows, static_cast<uint32_t>(mix_seeds(7, epoch)));
    const auto begin = rows.begin() + static_cast<int64_t>(epoch) * kRows;
    CHECK(Rows(begin, begin + kRows) == Rows(wanted.begin(), wanted.end()));
  }
}

TEST_CASE("sampler: every row once an epoch, batches always full, across epochs too") {
  for (const int64_t rows : {1, 3, 32, 33, 100}) {
    for (const int64_t batch : {1, 4, 32, 70}) {
      Sampler sampler(rows, batch, 1);
      const Rows all = take(sampler, 0, 3 * rows);
      REQUIRE(static_cast<int64_t>(all.size()) == 3 * rows * batch);
      for (int64_t epoch = 0; epoch < 3 * batch; ++epoch) {
        const auto begin = all.begin() + epoch * rows;
        CHECK(static_cast<int64_t>(std::set<int64_t>(begin, begin + rows).size()) == rows);
        CHECK(*std::max_element(begin, begin + rows) == rows - 1);
      }
    }
  }
}

TEST_CASE("sampler: a batch is a function of the step alone") {
  Sampler whole(57, 8, 3);
  const Rows rows = take(whole, 0, 60);
  for (const int64_t start : {59, 0, 31, 7, 8, 30}) {  // any order: resuming, going back
    Sampler resumed(57, 8, 3);
    const Rows tail = take(resumed, start, 60 - start);
    CHECK(tail == Rows(rows.begin() + start * 8, rows.end()));
    CHECK(whole.batch(start) == Rows(rows.begin() + start * 8, rows.begin() + start * 8 + 8));
  }
  Sampler other(57, 8, 4);
  CHECK(take(other, 0, 7) != take(whole, 0, 7));
  CHECK(whole.epoch_of(0) == 0);
  CHECK(whole.epoch_of(7) == 0);  // begins at position 56, the last of the first epoch
  CHECK(whole.epoch_of(8) == 1);
}

TEST_CASE("sampler: refuses splits and batches without rows") {
  CHECK(contains(error_of([] { Sampler(0, 1, 0); }), "2: sampler: a split of 0 rows"));
  CHECK(contains(error_of([] { Sampler(5, 0, 0); }), "2: sampler: batch size 0"));
}

TEST_CASE("sampler: buckets hold the same rows, of like lengths, and do not depend on the way there") {
  constexpr int64_t kRows = 700, kBatch = 10, kSteps = 2 * Sampler::kWindow;
  const auto length = [](int64_t row) { return row * 7919 % 1000; };
  Sampler plain(kRows, kBatch, 3), buckets(kRows, kBatch, 3), other(kRows, kBatch, 3);
  buckets.bucket_by_length(length);
  other.bucket_by_length(length);
  int64_t spread = 0, plain_spread = 0;
  const auto add_spread = [&](const Rows& batch, int64_t& sum) {
    const auto [low, high] = std::minmax_element(batch.begin(), batch.end(),
                                                 [&](int64_t a, int64_t b) { return length(a) < length(b); });
    sum += length(*high) - length(*low);
  };
  for (int64_t step = 0; step < kSteps; ++step) {
    add_spread(buckets.batch(step), spread);
    add_spread(plain.batch(step), plain_spread);
    CHECK(buckets.batch(step).size() == kBatch);
  }
  CHECK(spread * 5 < plain_spread);
  for (const int64_t window : {0, 1}) {
    Rows mine = take(buckets, window * Sampler::kWindow, Sampler::kWindow);
    Rows theirs = take(plain, window * Sampler::kWindow, Sampler::kWindow);
    CHECK(mine != theirs);
    std::sort(mine.begin(), mine.end());
    std::sort(theirs.begin(), theirs.end());
    CHECK(mine == theirs);
  }
  CHECK(other.batch(kSteps - 1) == buckets.batch(kSteps - 1));  // as after a resume
  CHECK(other.batch(5) == buckets.batch(5));
  Rows lengths;  // the batches come in no order of length
  for (int64_t step = 0; step < Sampler::kWindow; ++step) lengths.push_back(length(buckets.batch(step)[0]));
  CHECK_FALSE(std::is_sorted(lengths.begin(), lengths.end()));
}

}  // namespace
}  // namespace lotformer::data::test
