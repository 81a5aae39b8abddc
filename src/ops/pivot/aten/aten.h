// SPDX-License-Identifier: MIT
// Pivot attention in plain tensor operations: any device, float32 and float64. q, k and v of a call have one
// of these types here.
#pragma once

#include "lotformer/ops/pivot.h"

namespace lotformer::ops::pivot::aten {

at::Tensor exact(const PivotCall& call, PivotSolveStats* stats);
at::Tensor truncated(const PivotCall& call);
at::Tensor reference(const PivotCall& call);

PivotPlans exact_plans(const PivotCall& call);
PivotPlans truncated_plans(const PivotCall& call);
PivotPlans reference_plans(const PivotCall& call);

}  // namespace lotformer::ops::pivot::aten
