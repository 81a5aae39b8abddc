// SPDX-License-Identifier: MIT
#include "skipped_batches.h"

#include <algorithm>

namespace lotformer {

void SkippedBatches::skip(int64_t first, int64_t end) {
  if (first >= end) return;
  std::vector<Interval> kept;
  for (const Interval& old : intervals_) {
    if (old.end < first || old.first > end) {
      kept.push_back(old);
    } else {  // one interval for both, so that batch_of may take them in turn
      first = std::min(first, old.first);
      end = std::max(end, old.end);
    }
  }
  kept.push_back({first, end});
  std::sort(kept.begin(), kept.end(), [](const Interval& a, const Interval& b) { return a.first < b.first; });
  intervals_ = std::move(kept);
}

int64_t SkippedBatches::batch_of(int64_t step) const {
  int64_t batch = step;
  for (const Interval& skipped : intervals_) {
    if (batch >= skipped.first) batch += skipped.end - skipped.first;
  }
  return batch;
}

Json SkippedBatches::state() const {
  Json list = Json::array();
  for (const Interval& interval : intervals_) list.push_back(Json::array({interval.first, interval.end}));
  return list;
}

SkippedBatches SkippedBatches::from_state(const Json& state, const std::string& where) {
  SkippedBatches skipped;
  const auto wrong = [&where] {
    return Error(ErrorKind::checkpoint, where + ": 'skipped_batches' is no list of [first, end]");
  };
  if (!state.is_array()) throw wrong();
  for (const Json& pair : state) {
    const bool numbers =
        pair.is_array() && pair.size() == 2 && pair[0].is_number_integer() && pair[1].is_number_integer();
    if (!numbers || pair[0].get<int64_t>() < 0 || pair[1].get<int64_t>() <= pair[0].get<int64_t>())
      throw wrong();
    skipped.skip(pair[0].get<int64_t>(), pair[1].get<int64_t>());
  }
  return skipped;
}

}  // namespace lotformer
