// SPDX-License-Identifier: MIT
#pragma once

#include "core.h"

namespace lotformer::ops::pivot::cpu {

const Core* portable_core();
/// And FMA.
const Core* avx2_core();
/// F, BW, DQ, VL.
const Core* avx512_core();

}  // namespace lotformer::ops::pivot::cpu
