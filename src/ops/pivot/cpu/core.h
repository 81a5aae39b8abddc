// SPDX-License-Identifier: MIT
// Pivot-transport attention on a CPU: raw pointers, no torch. The same source is compiled for several
// instruction sets (core.inl); `core()` is the one this machine runs. docs/lotformer.md has the mathematics,
// README.md the layout.
//
// Results depend on the inputs and the instruction set alone: not on the number of threads, nor on what else
// is in the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lotformer::ops::pivot::cpu {

/// [B, H, N, D]; strides in elements, that of the last axis is 1.
template <class T>
struct View {
  T* data = nullptr;
  int64_t batch = 0, head = 0, token = 0;
};

/// What the core needs from its surroundings.
struct Executor {
  int64_t threads = 1;
  /// task(context, 0) ... task(context, count - 1), in any order, at the same time.
  void (*run)(int64_t count, void (*task)(void*, int64_t), void* context) = nullptr;
  /// 64 bytes aligned.
  void* (*allocate)(std::size_t bytes) = nullptr;
  void (*release)(void* memory) = nullptr;
};

/// Masses of the tokens of one side, sums 1 over the real ones; rows [N] are contiguous. Null: uniform.
template <class T>
struct Masses {
  T* data = nullptr;
  int64_t batch = 0, head = 0;
};

/// Of every call.
template <class T>
struct Problem {
  int64_t batch = 0, heads = 0, tokens = 0, dim = 0, pivots = 0;
  /// [B], 0 ... N; null: every token is real.
  const int64_t* lengths = nullptr;
  View<const T> q, k, v;
  /// [H, r, D].
  const T* z = nullptr;
  /// [H, r], sums 1.
  const T* sigma = nullptr;
  double epsilon = 1;
};

/// The converged map. Per side (0 = queries, 1 = keys) and problem: h, c, G at the accepted point.
template <class T>
struct ExactState {
  /// [2, B, H, r].
  T* potentials = nullptr;
  /// [2, B, H, r].
  T* marginal = nullptr;
  /// [2, B, H, r, r]; null in a forward call: no gradient will be asked for.
  T* gram = nullptr;
  /// U [B, H, r, D].
  T* summary = nullptr;
  /// [2, B, H].
  T* residual = nullptr;
  /// [2, B, H]; sweeps over all tokens.
  int64_t* passes = nullptr;
};

template <class T>
struct ExactForward {
  Problem<T> problem;
  /// [2, H] epsilon / rho, 0: marginal held, infinity: free; null: zeros.
  const T* kappa = nullptr;
  Masses<const T> masses[2];
  double tolerance = 1e-4;
  int64_t max_passes = 32;
  View<T> out;
  ExactState<T> state;
};

/// Gradients; rows of padded tokens are written as zeros.
template <class T>
struct Gradients {
  View<const T> out;
  View<T> q, k, v;
  /// [H, r, D].
  T* z = nullptr;
  /// [H, r].
  T* sigma = nullptr;
};

template <class T>
struct ExactBackward {
  Problem<T> problem;
  const T* kappa = nullptr;
  Masses<const T> masses[2];
  /// Read only.
  ExactState<T> state;
  Gradients<T> gradients;
  /// [2, H], where kappa is given.
  T* d_kappa = nullptr;
  /// Where masses are given; zero at padding.
  Masses<T> d_masses[2];
};

/// T half-iterations a side. `reference`: the published arithmetic (scores clamped, padding takes part, rows
/// sum to about r^-2).
template <class T>
struct TruncatedForward {
  Problem<T> problem;
  int64_t half_iterations = 1;
  bool reference = false;
  View<T> out;
  /// [2, B, H, T/2 + 1, 2, r]: h_t and c(h_t); the key side's first h is its opening update.
  T* trajectory = nullptr;
  /// U [B, H, r, D].
  T* summary = nullptr;
};

template <class T>
struct TruncatedBackward {
  /// Trajectory and summary are read only, out is not used.
  TruncatedForward<T> forward;
  /// `sigma` with respect to log sigma.
  Gradients<T> gradients;
};

template <class T>
struct Kernels {
  void (*exact_forward)(const ExactForward<T>&, const Executor&) = nullptr;
  void (*exact_backward)(const ExactBackward<T>&, const Executor&) = nullptr;
  void (*truncated_forward)(const TruncatedForward<T>&, const Executor&) = nullptr;
  void (*truncated_backward)(const TruncatedBackward<T>&, const Executor&) = nullptr;
};

struct Core {
  const char* name;
  Kernels<float> of_float;
  Kernels<double> of_double;
};

template <class T>
const Kernels<T>& kernels_of(const Core& core) {
  if constexpr (sizeof(T) == sizeof(float))
    return core.of_float;
  else
    return core.of_double;
}

/// portable | avx2 | avx512; null where the machine or the build has it not.
const Core* find_core(std::string_view name);

/// The widest one this machine has, or LOTFORMER_CPU_CORE; chosen once. Error(usage) where that names none.
const Core& core();

/// For tests: from now on `core()` is this one; null: the machine's own again.
void use_core(const Core* chosen);

/// Rows of one trajectory entry of TruncatedForward: t = 0 ... trajectory_length - 1.
inline int64_t trajectory_length(int64_t half_iterations) {
  return half_iterations / 2 + 1;
}

}  // namespace lotformer::ops::pivot::cpu
