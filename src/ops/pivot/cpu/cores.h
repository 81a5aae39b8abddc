// SPDX-License-Identifier: MIT
#pragma once

#include "core.h"

namespace lotformer::ops::pivot::cpu {

const Core* portable_core();
const Core* avx2_core();    ///< and FMA
const Core* avx512_core();  ///< F, BW, DQ, VL

}  // namespace lotformer::ops::pivot::cpu
