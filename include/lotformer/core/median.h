// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

namespace lotformer {

/// Of at least one number; of an even count the mean of the two in the middle.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace lotformer
