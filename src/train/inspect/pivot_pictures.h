// SPDX-License-Identifier: MIT
// Transport of one example for TensorBoard: masses of the pivots, plans as grey pictures.
#pragma once

#include "lotformer/data/dataset.h"
#include "train/run/event_file.h"
#include "train/session.h"

namespace lotformer {

/// Of the split's first example, by layer: histogram of the pivots' masses in units of an equal share, and
/// the query plans of the first heads. Nothing for modules without plans. Leaves the model, its gradients and
/// torch's generators as they were.
void add_pivot_pictures(EventFile& events, Session& session, const data::Dataset& split, int64_t step);

}  // namespace lotformer
