// SPDX-License-Identifier: MIT
#pragma once

#include "lot_cpu.h"

namespace lotformer::ops::lot {

const Core* portable_core();
const Core* avx2_core();    ///< and FMA
const Core* avx512_core();  ///< F, BW, DQ, VL

}  // namespace lotformer::ops::lot
