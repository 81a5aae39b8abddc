// SPDX-License-Identifier: MIT
// LOTFormer attention on a GPU: host interface. Plain C++, raw device pointers, no torch; asynchronous on the
// caller's stream, capturable in a graph (nothing is allocated, no host synchronisation). The same file
// drives the emulated kernels in the tests.
//
// What is computed: docs/lotformer.md. Forward 3 launches at most (solve, redo of flagged problems, output),
// backward 4 (queries, keys, tokens, batch sums). Equal bits for equal inputs, whatever the batch size.
// README.md in this folder has the memory and launch plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "params.h"

namespace lotformer::ops::pivot::cuda {

/// One call. Pointers are device memory and must live until the stream has passed.
struct Problem {
  int64_t batch = 0, heads = 0, tokens = 0, pivots = 0, head_dim = 0;
  /// q, k, v, out and their gradients: bf16, else float32. All else is float32.
  bool bf16 = false;
  Mode mode = Mode::exact;
  double epsilon = 0.1;
  /// Truncated and reference.
  int64_t half_iterations = 50;
  /// Exact: |c - sigma|_1.
  double tolerance = 1e-4;
  /// Exact.
  int64_t max_passes = 32;
  /// [batch, heads, tokens, head_dim].
  RowTensor q{}, k{}, v{};
  /// Pivots [heads, pivots, head_dim], contiguous.
  const float* z = nullptr;
  /// [heads, pivots], contiguous, rows sum to 1.
  const float* sigma = nullptr;
  /// exact: [2, heads], kappa = epsilon / rho of queries and keys: 0 the pivot marginal is held, infinity it
  /// is free. null: held on both sides. Numbers below 0 have no meaning.
  const float* kappa = nullptr;
  /// exact: masses of the tokens of queries and keys [batch, heads, tokens], contiguous, >= 0, those of the
  /// real tokens of a sequence sum to 1; null: each has 1 / n. What stands at padding is not looked at.
  const float* masses[2] = {nullptr, nullptr};
  /// [batch]; null: every token is real. Not looked at in mode reference.
  const int64_t* lengths = nullptr;
};

struct Gradients {
  RowTensor d_out{}, d_q{}, d_k{}, d_v{};
  /// [heads, pivots, head_dim].
  float* d_z = nullptr;
  /// [heads, pivots]; defined up to a constant over the pivots in mode exact.
  float* d_sigma = nullptr;
  /// [2, heads], null: not wanted; 0 where a marginal is held or free.
  float* d_kappa = nullptr;
  /// [batch, heads, tokens], where the problem has masses; up to a constant a sequence, 0 at padding.
  float* d_masses[2] = {nullptr, nullptr};
};

/// What the plan depends on. max_cluster 1: no clusters.
struct Device {
  int max_cluster = 1;
  /// Dynamic shared memory a CTA may have.
  std::size_t shared_bytes = 0;
  int multiprocessors = 1;
};

/// How a call is carried out. Depends on shapes and device only, never on batch or heads: so does every bit
/// of the result.
struct Plan {
  /// Of the dispatch table.
  int row = 0;
  /// Index into KernelSet::resident; -1: streamed.
  int resident = -1;
  /// Of the resident solver.
  int cluster = 1;
  /// Of a Newton step of the resident solver, in Sinkhorn steps (newton_rules.h); up to 1: no other steps
  /// than Newton's, as the CPU core takes them. The streamed solver has 1: its passes compute the scores
  /// again.
  float newton_price = 1;
  /// Of the streamed solver and the adjoint kernels.
  int stream_cluster = 1;
  /// Clusters of the streamed solver that look for flagged problems: about what the device holds at once.
  /// Changes no bit of a result.
  int redo_clusters = 1;
  /// CTAs of F2 and B3 that share a side.
  int splits = 1;
  int padded_dim = 32;
  /// Rows of weights and values that are in shared memory at a time: as many as fit. Changes no bit either.
  int stage_rows = 64;
};

/// Why this call cannot be served, one sentence without a full stop; empty: it can be. Nothing is
/// dereferenced.
std::string refusal(const Problem& problem, const Device& device);
std::string refusal(const Problem& problem, const Gradients& gradients, const Device& device);
/// Of a call that is not refused.
Plan make_plan(const Problem& problem, const Device& device);

/// Device memory that forward fills and backward reads, and memory that each call may overwrite; both 16-byte
/// aligned.
std::size_t state_bytes(const Problem& problem, const Plan& plan);
std::size_t scratch_bytes(const Problem& problem, const Plan& plan);

/// Places in the state, for the log: [2, batch, heads], queries first; exact only.
struct SolverRecord {
  const float* residual;
  const int* passes;
};
SolverRecord solver_record(const Problem& problem, const Plan& plan, void* state);

/// `out` receives every row, padded ones as zeros. Without `gradients` the state is no good for backward.
/// Returns an empty text or what the launch said.
std::string forward(const Problem& problem, const Plan& plan, const RowTensor& out, bool gradients,
                    void* state, void* scratch, void* stream);
/// After forward with the same problem, plan and state. Every element of the gradients is written.
std::string backward(const Problem& problem, const Plan& plan, const Gradients& gradients, void* state,
                     void* scratch, void* stream);

/// The GPU `index`; max_cluster as its architecture allows. Returns an empty text or what the runtime said.
/// (query_device.cpp)
std::string query_device(int index, Device& device);

}  // namespace lotformer::ops::pivot::cuda
