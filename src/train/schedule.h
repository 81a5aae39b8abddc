// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "lotformer/config/config.h"

namespace lotformer {

/// Learning rate of update `step` (0-based), a pure function of it: linear warm-up from `warmup_start`, then
/// cosine to `lr_floor`.
///   step < warmup: m = start + (1 - start) (step + 1) / warmup
///   else: t = (step - warmup) / (steps - warmup), m = floor + (1 - floor) (1 + cos(pi t)) / 2;  lr = base *
///   m
/// (published LOTFormer schedule: start 0.1, floor 0.4). After the last step it stays at the floor.
double lr_multiplier(const TrainConfig& config, int64_t step);

}  // namespace lotformer
