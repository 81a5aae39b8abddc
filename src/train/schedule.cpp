// SPDX-License-Identifier: MIT
#include "schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lotformer {

double lr_multiplier(const TrainConfig& c, int64_t step) {
  if (step < c.warmup_steps) {
    return c.warmup_start +
           (1.0 - c.warmup_start) * static_cast<double>(step + 1) / static_cast<double>(c.warmup_steps);
  }
  const int64_t span = std::max<int64_t>(1, c.steps - c.warmup_steps);
  const double t = std::min(1.0, static_cast<double>(step - c.warmup_steps) / static_cast<double>(span));
  return c.lr_floor + (1.0 - c.lr_floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * t));
}

}  // namespace lotformer
