// SPDX-License-Identifier: MIT
// The core, once more for every instruction set: the including file says which by PIVOT_CORE (name of the
// function that hands it out) and PIVOT_VECTOR_BYTES.
#include "cores.h"
#include "exact_backward.h"
#include "exact_forward.h"
#include "truncated_backward.h"
#include "truncated_forward.h"

namespace lotformer::ops::pivot::cpu {

const Core* PIVOT_CORE() {
  static const Core kCore = {
      PIVOT_CORE_NAME,
      {&exact_forward<float>, &exact_backward<float>, &truncated_forward<float>, &truncated_backward<float>},
      {&exact_forward<double>, &exact_backward<double>, &truncated_forward<double>,
       &truncated_backward<double>}};
  return &kCore;
}

}  // namespace lotformer::ops::pivot::cpu
