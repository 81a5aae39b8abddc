// SPDX-License-Identifier: MIT
// A CUDA cluster on the CPU: one fibre a thread, one operating system thread, a fixed order. Runs the
// unchanged kernel source of src/ops/pivot/cuda (device_api.h, LOTFORMER_EMULATE_CUDA). What it keeps of a
// GPU: the order of summation, warp exchange, fragment layouts of the matrix instruction, barriers of warp,
// CTA and cluster, separate shared memories (filled with NaN). What it adds:
//   - fibres run until they wait, first to last, all in step; or last to first, each CTA as far ahead as it
//     can: two runs that differ show a missing barrier;
//   - a barrier can be taken out by its place in the source, for the test that every one is needed;
//   - a barrier that not all threads reach is an exception instead of a hang.
// It is no race checker: inside a warp everything between two exchanges is one step.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <utility>

#define PIVOT_KERNEL(threads, ctas) void
#define PIVOT_DEVICE inline
#define PIVOT_HOST_DEVICE
#define PIVOT_UNROLL
#define PIVOT_UNROLL_8
#define PIVOT_ROLLED

namespace lotformer::emulator {

enum class Order { forward, reverse };

/// A barrier in the source: file and line.
using Site = std::pair<std::string, int>;

struct Settings {
  Order order = Order::forward;
  /// This barrier does nothing.
  Site removed;
  /// When set: collects the barriers that were met.
  std::set<Site>* sites;
};

/// Settings of the launches that follow; a test resets them.
Settings& settings();

/// Runs `kernel` on every thread of `grid` CTAs, cluster after cluster. Throws std::runtime_error when fibres
/// wait for each other for ever. grid is a multiple of cluster, threads of 32.
void launch(int grid, int cluster, int threads, size_t shared_bytes, const std::function<void()>& kernel);

// What a fibre sees of itself.
int thread_index();
int cta_index();
int cluster_rank();
int cluster_size();
unsigned char* shared_memory(int rank);
size_t shared_bytes();
void cta_barrier(const char* file, int line);
void cluster_barrier(const char* file, int line);
/// Publishes `count` words of this lane, waits for the warp, returns the words of all lanes: word w of lane l
/// at [l * kWarpWords + w].
const uint32_t* warp_exchange(const uint32_t* words, int count);
constexpr int kWarpWords = 6;

}  // namespace lotformer::emulator

namespace lotformer::ops::pivot::cuda {

inline int thread_index() {
  return emulator::thread_index();
}
inline int cta_index() {
  return emulator::cta_index();
}
inline int cluster_rank() {
  return emulator::cluster_rank();
}
inline int cluster_size() {
  return emulator::cluster_size();
}
inline unsigned char* shared_memory() {
  return emulator::shared_memory(emulator::cluster_rank());
}
inline void cta_sync(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::cta_barrier(file, line);
}
inline void cluster_sync(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::cluster_barrier(file, line);
}
template <class T>
T* cluster_peer(T* address, int rank) {
  const auto offset = reinterpret_cast<unsigned char*>(address) - shared_memory();
  return reinterpret_cast<T*>(emulator::shared_memory(rank) + offset);
}

float shuffle_xor(float value, int mask);
float shuffle_from(float value, int lane);
uint32_t pack_bf16(float low, float high);
void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
/// Ends the program over an address that is not in the CTA's shared memory or not 16-byte aligned.
void load_transposed(uint32_t (&words)[4], const void* row);

inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0.0f : y;  // the instruction flushes subnormal results; NaN stays
}
inline float log2_fast(float x) {
  return std::log2(x);
}
inline float invert_fast(float x) {
  return 1 / x;
}

}  // namespace lotformer::ops::pivot::cuda
