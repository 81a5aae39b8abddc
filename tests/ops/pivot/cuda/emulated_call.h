// SPDX-License-Identifier: MIT
// A whole call of the CUDA core on the emulator: core.h with its launches carried out by emulator.h.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator.h"
#include "ops/pivot/cuda/core.h"

namespace lotformer::ops::pivot::cuda::test {

/// Numbers of one call on the host. Tensors [batch, heads, tokens, head_dim], float32; with bf16 they are
/// rounded on the way in.
struct Inputs {
  int64_t batch = 1, heads = 1, tokens = 1, pivots = 1, head_dim = 2;
  bool bf16 = false;
  Mode mode = Mode::exact;
  double epsilon = 0.1, tolerance = 1e-6;
  int64_t half_iterations = 50, max_passes = 64;
  std::vector<int64_t> lengths;  // empty: every token is real
  std::vector<float> q, k, v, d_out, z, sigma;
  std::vector<float> kappa;      // [2, heads]; empty: marginals are held
  std::vector<float> masses[2];  // of queries and keys [batch, heads, tokens]; empty: 1 / n
  bool gradients = true;         // else forward alone, as in evaluation
  int64_t row_padding = 4;       // numbers behind each token; with 2 rows are not aligned to four of them
};

struct Results {
  std::vector<float> out, d_q, d_k, d_v, d_z, d_sigma, d_kappa, residual;
  std::vector<float> d_masses[2];
  std::vector<int> passes;
  int launches_forward = 0, launches_backward = 0;
};

/// A part with clusters, and with the shared memory of the largest parts.
constexpr Device kLargeDevice{8, 227 << 10};

/// Tensors get an odd-looking layout (numbers behind each token, more rows than tokens) and NaN wherever
/// nothing should be read; outputs and work memory begin as NaN. `change` may alter the plan. Throws
/// std::runtime_error when the core refuses or writes beside a tensor.
Results run_emulated(const Inputs& inputs, const Device& device = kLargeDevice,
                     void (*change)(Plan&) = nullptr);

/// What a call leaves, as bits.
bool same_bits(const Results& a, const Results& b);

/// Nearest bf16 number.
float to_bf16(float x);

}  // namespace lotformer::ops::pivot::cuda::test
