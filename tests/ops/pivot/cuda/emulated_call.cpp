// SPDX-License-Identifier: MIT
#include "emulated_call.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "ops/pivot/cuda/device_api.h"
#include "ops/pivot/cuda/launch.h"

namespace lotformer::ops::pivot::cuda {
namespace {
int launches = 0;
}

std::string launch(Kernel kernel, int64_t grid, int cluster, int threads, std::size_t shared_bytes,
                   const PivotArgs& args, void*) {
  ++launches;
  emulator::launch(static_cast<int>(grid), cluster, threads, shared_bytes, [&] { kernel(args); });
  return {};
}

}  // namespace lotformer::ops::pivot::cuda

namespace lotformer::ops::pivot::cuda::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// A tensor in device layout with room around it.
class Padded {
 public:
  Padded(const Inputs& in, const std::vector<float>* values)
      : in_(in), row_(in.head_dim + in.row_padding), rows_(in.tokens + 3) {
    memory_.assign(static_cast<size_t>(in.batch * in.heads * rows_ * row_) * (in.bf16 ? 1 : 2), 0xffff);
    if (!values) return;
    for (int64_t i = 0; i < static_cast<int64_t>(values->size()); ++i) write(place(i), (*values)[i]);
    blank_padding();
  }
  RowTensor view() { return {memory_.data(), in_.heads * rows_ * row_, rows_ * row_, row_}; }
  std::vector<float> values() {
    std::vector<float> result(static_cast<size_t>(in_.batch * in_.heads * in_.tokens * in_.head_dim));
    for (int64_t i = 0; i < static_cast<int64_t>(result.size()); ++i) {
      result[i] = read(place(i));
      write(place(i), kNan);
    }
    for (uint16_t word : memory_) {
      if ((word & 0x7f80) != 0x7f80 && word != 0 && word != 0xffff)
        throw std::runtime_error("a kernel wrote beside its tensor");
    }
    return result;
  }

 private:
  int64_t place(int64_t flat) const {
    const int64_t d = flat % in_.head_dim, row = flat / in_.head_dim;
    return (row / in_.tokens * rows_ + row % in_.tokens) * row_ + d;
  }
  void blank_padding() {  // what stands in padding must not matter
    if (in_.lengths.empty() || in_.mode == Mode::reference) return;
    for (int64_t i = 0; i < in_.batch * in_.heads * in_.tokens * in_.head_dim; ++i) {
      const int64_t row = i / in_.head_dim, b = row / in_.tokens / in_.heads;
      if (row % in_.tokens >= in_.lengths[b]) write(place(i), kNan);
    }
  }
  void write(int64_t i, float x) {
    uint32_t bits;
    if (in_.bf16) x = x == x ? to_bf16(x) : x;
    std::memcpy(&bits, &x, 4);
    if (in_.bf16) {
      memory_[i] = static_cast<uint16_t>(bits >> 16);
    } else {
      std::memcpy(&memory_[2 * i], &bits, 4);
    }
  }
  float read(int64_t i) const {
    uint32_t bits = static_cast<uint32_t>(memory_[in_.bf16 ? i : 0]) << 16;
    if (!in_.bf16) std::memcpy(&bits, &memory_[2 * i], 4);
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }

  const Inputs& in_;
  int64_t row_, rows_;
  std::vector<uint16_t> memory_;
};

struct alignas(16) Chunk {
  uint32_t words[4] = {~0u, ~0u, ~0u, ~0u};
};

std::vector<Chunk> poisoned(std::size_t bytes) {
  return std::vector<Chunk>((bytes + 15) / 16);
}

void check(const std::string& error) {
  if (!error.empty()) throw std::runtime_error(error);
}

Problem problem_of(const Inputs& in) {
  Problem p;
  p.batch = in.batch;
  p.heads = in.heads;
  p.tokens = in.tokens;
  p.pivots = in.pivots;
  p.head_dim = in.head_dim;
  p.bf16 = in.bf16;
  p.mode = in.mode;
  p.epsilon = in.epsilon;
  p.tolerance = in.tolerance;
  p.half_iterations = in.half_iterations;
  p.max_passes = in.max_passes;
  p.z = in.z.data();
  p.sigma = in.sigma.data();
  p.kappa = in.kappa.empty() ? nullptr : in.kappa.data();
  p.lengths = in.lengths.empty() ? nullptr : in.lengths.data();
  for (int side = 0; side < 2; ++side)
    p.masses[side] = in.masses[side].empty() ? nullptr : in.masses[side].data();
  return p;
}

}  // namespace

float to_bf16(float x) {
  return unpack_bf16(pack_bf16(x, 0)).x;
}

Results run_emulated(const Inputs& in, const Device& device, void (*change)(Plan&)) {
  Padded q(in, &in.q), k(in, &in.k), v(in, &in.v), d_out(in, &in.d_out), out(in, nullptr), d_q(in, nullptr),
      d_k(in, nullptr), d_v(in, nullptr);
  Results results;
  results.d_z.assign(in.z.size(), kNan);
  results.d_sigma.assign(in.sigma.size(), kNan);
  results.d_kappa.assign(in.kappa.size(), kNan);
  Problem p = problem_of(in);
  p.q = q.view();
  p.k = k.view();
  p.v = v.view();
  for (int side = 0; side < 2; ++side) results.d_masses[side].assign(in.masses[side].size(), kNan);
  const Gradients g{d_out.view(),
                    d_q.view(),
                    d_k.view(),
                    d_v.view(),
                    results.d_z.data(),
                    results.d_sigma.data(),
                    results.d_kappa.data(),
                    {results.d_masses[0].data(), results.d_masses[1].data()}};
  check(refusal(p, g, device));
  Plan plan = make_plan(p, device);
  if (change) change(plan);
  auto state = poisoned(state_bytes(p, plan));
  launches = 0;
  {
    auto scratch = poisoned(scratch_bytes(p, plan));
    check(forward(p, plan, out.view(), in.gradients, state.data(), scratch.data(), nullptr));
  }
  results.launches_forward = launches;
  if (in.gradients) {
    auto scratch = poisoned(scratch_bytes(p, plan));
    check(backward(p, plan, g, state.data(), scratch.data(), nullptr));
  }
  results.launches_backward = launches - results.launches_forward;
  results.out = out.values();
  results.d_q = d_q.values();
  results.d_k = d_k.values();
  results.d_v = d_v.values();
  const SolverRecord record = solver_record(p, plan, state.data());
  results.residual.assign(record.residual, record.residual + 2 * in.batch * in.heads);
  results.passes.assign(record.passes, record.passes + 2 * in.batch * in.heads);
  return results;
}

bool same_bits(const Results& a, const Results& b) {
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() &&
           (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0);
  };
  return same(a.out, b.out) && same(a.d_q, b.d_q) && same(a.d_k, b.d_k) && same(a.d_v, b.d_v) &&
         same(a.d_z, b.d_z) && same(a.d_sigma, b.d_sigma) && same(a.d_kappa, b.d_kappa) &&
         same(a.d_masses[0], b.d_masses[0]) && same(a.d_masses[1], b.d_masses[1]) &&
         same(a.residual, b.residual) && a.passes == b.passes;
}

}  // namespace lotformer::ops::pivot::cuda::test
