// SPDX-License-Identifier: MIT
// The core, once more for every instruction set: the including file says which by LOT_CORE (name of the function that hands it out)
// and LOT_VECTOR_BYTES.
#include "exact_backward.h"
#include "exact_forward.h"
#include "lot_cores.h"
#include "unrolled.h"
#include "unrolled_backward.h"

namespace lotformer::ops::lot {

const Core* LOT_CORE() {
  static const Core kCore = {
      LOT_CORE_NAME,
      {&exact_forward<float>, &exact_backward<float>, &unrolled_forward<float>, &unrolled_backward<float>},
      {&exact_forward<double>, &exact_backward<double>, &unrolled_forward<double>,
       &unrolled_backward<double>}};
  return &kCore;
}

}  // namespace lotformer::ops::lot
