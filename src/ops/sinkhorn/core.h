// SPDX-License-Identifier: MIT
// The map of a group of problems and its three gradients. Tensors [P, n, D], contiguous, absent tokens zero.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tiles.h"

namespace lotformer::ops::sinkhorn {

/// Potentials in the order of their computation: index 0 is the starting potential of the columns, index t
/// the result of half-iteration t (rows when t is odd). [P, n] each.
using Trajectory = std::vector<at::Tensor>;

/// T half-iterations; `out` [P, rows, D] becomes P V of the last two potentials, in T sweeps when T is odd or
/// even.
Trajectory run_half_iterations(const Points& points, const at::Tensor& v, int64_t half_iterations,
                               at::Tensor& out);

struct Convergence {
  double tolerance;
  int64_t max_half_iterations;
};

/// Column potentials at which every problem has stopped, ready for a last row update.
struct Solution {
  /// [P, m].
  at::Tensor columns;
  /// int64 [P], the last row update included.
  at::Tensor half_iterations;
  /// [P], mean |column sum - 1| at the last check.
  at::Tensor residual;
};

/// Half-iterations until each problem meets the tolerance by itself; solved problems leave the batch. A
/// problem also stops when its residual, which decreases in exact arithmetic, has not decreased three times
/// in a row (rounding), or is NaN. `trajectory`: receives all potentials; for a single problem. One host
/// synchronisation a pair of half-iterations.
Solution solve(const Points& points, const Convergence& convergence, Trajectory* trajectory);

/// The row update after `solve`, which makes row sums exact; `out` becomes P V. Returns the row potentials.
at::Tensor last_rows(const Points& points, const at::Tensor& columns, const at::Tensor& v, at::Tensor& out);

/// What the backward passes need: dL/d(out), values and the output.
struct Upstream {
  /// [P, rows, D].
  at::Tensor d_out;
  /// [P, columns, D].
  at::Tensor v;
  /// [P, rows, D].
  at::Tensor out;
};

struct Gradient {
  /// As Points::x.
  at::Tensor x[2];
  at::Tensor v;
};

/// Through all half-iterations of the trajectory.
Gradient unrolled_gradient(const Points& points, const Upstream& upstream, const Trajectory& trajectory);
/// Column potentials constant; of the trajectory the last three entries are used.
Gradient detached_gradient(const Points& points, const Upstream& upstream, const Trajectory& trajectory);
/// Of the converged map; row and column potentials [P, n] with exact row sums.
Gradient implicit_gradient(const Points& points, const Upstream& upstream, const at::Tensor& rows,
                           const at::Tensor& columns);

}  // namespace lotformer::ops::sinkhorn
