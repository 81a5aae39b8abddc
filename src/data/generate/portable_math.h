// SPDX-License-Identifier: MIT
// Functions whose last bit decides a byte of a generated file. Only additions, multiplications, divisions and
// powers of two, which IEEE 754 defines exactly (the library is compiled without contraction into fused
// multiply-adds), so the results are the same with every C library.
#pragma once

#include "lotformer/core/rng.h"

namespace lotformer::data::portable {

/// sin(2 pi turns), error below 1e-15; exact at multiples of a quarter.
double sin_turns(double turns);
inline double cos_turns(double turns) {
  return sin_turns(turns + 0.25);
}

/// e^x for |x| <= 700, relative error below 1e-15.
double exp(double x);

/// Sum of twelve uniforms less six: mean 0, variance 1, within [-6, 6] (Irwin-Hall).
double normal(Rng& rng);

}  // namespace lotformer::data::portable
