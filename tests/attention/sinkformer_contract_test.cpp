// SPDX-License-Identifier: MIT
// What the Sinkformer must not depend on: padding, neighbours in the batch, grouping, threads; and what it
// may use of memory.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cmath>

#include "attention/sinkformer_support.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::check_close;
using test::converged;
using test::lengths_of;
using test::run;
using test::Run;
using test::truncated;

TEST_CASE("sinkformer: one masked batch equals sequence by sequence") {
  const at::Tensor lengths = lengths_of({21, 8, 0, 1});
  const AttentionInputs x = attention_inputs({4, 2, 21, 4}, at::kDouble, 41, 1.5);
  const at::Tensor upstream = attention_inputs({4, 2, 21, 4}, at::kDouble, 42).q;
  std::vector<ops::SinkhornOptions> cases = {truncated(1), truncated(4), truncated(5),
                                             converged(1e-10, ops::SinkhornGradient::implicit)};
  for (const int64_t half_iterations : {1, 4, 5}) {
    cases.push_back(truncated(half_iterations));
    cases.back().gradient = ops::SinkhornGradient::detached;
    cases.back().padded_queries = true;
  }
  for (ops::SinkhornOptions options : cases) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations << ", padded queries "
                      << options.padded_queries);
    options.batching = ops::SinkhornBatching::by_sequence;
    const Run apart = run(x, upstream, lengths, options);
    options.batching = ops::SinkhornBatching::whole_batch;
    check_close(run(x, upstream, lengths, options), apart, 1e-11);
  }
}

/// Every mode that hides padding, as the op's options, by sequence and as one masked batch.
std::vector<ops::SinkhornOptions> padding_modes() {
  std::vector<ops::SinkhornOptions> modes;
  for (const ops::SinkhornBatching batching :
       {ops::SinkhornBatching::by_sequence, ops::SinkhornBatching::whole_batch}) {
    for (const ops::SinkhornOptions& mode :
         {truncated(2), truncated(3), converged(1e-6, ops::SinkhornGradient::implicit, 60)}) {
      modes.push_back(mode);
      modes.back().batching = batching;
    }
  }
  return modes;
}

TEST_CASE("sinkformer: padding is invisible in every mode, bit for bit") {
  const at::Tensor lengths = lengths_of({13, 5, 0, 1});
  const at::Tensor padded =
      at::arange(13).unsqueeze(0).ge(lengths.unsqueeze(1)).unsqueeze(1).unsqueeze(-1);  // [B, 1, N, 1]
  for (const ops::SinkhornOptions& options : padding_modes()) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations << ", batching "
                      << static_cast<int>(options.batching));
    const AttentionInputs x = attention_inputs({4, 2, 13, 8}, at::kFloat, 51);
    const at::Tensor upstream = attention_inputs({4, 2, 13, 8}, at::kFloat, 52).q;
    const Run clean = run(x, upstream, lengths, options);
    for (const at::Tensor& t : {clean.out, clean.q, clean.k, clean.v}) {
      CHECK(test::same_bits(t, t.masked_fill(padded, 0)));
    }
    for (const double value : {-1e30, HUGE_VAL, std::nan("")}) {
      const auto dirty = [&](const at::Tensor& t) { return t.masked_fill(padded, value); };
      const Run other = run({dirty(x.q), dirty(x.k), dirty(x.v)}, dirty(upstream), lengths, options);
      CHECK(test::same_bits(other.out, clean.out));
      CHECK(test::same_bits(other.q, clean.q));
      CHECK(test::same_bits(other.k, clean.k));
      CHECK(test::same_bits(other.v, clean.v));
    }
  }
}

TEST_CASE("sinkformer: every problem stops by itself, whatever stands beside it") {
  const at::Tensor upstream = attention_inputs({4, 1, 17, 8}, at::kDouble, 54).q;
  AttentionInputs x = attention_inputs({4, 1, 17, 8}, at::kDouble, 53);
  x.q[0] *= 0.1;                   // almost uniform: a few half-iterations
  x.q[1] *= 4;                     // sharp: many
  x.q[2][0][3][0] = std::nan("");  // never
  for (const ops::SinkhornGradient gradient :
       {ops::SinkhornGradient::implicit, ops::SinkhornGradient::unrolled}) {
    ops::SinkhornOptions options = converged(1e-3, gradient);
    options.batching = ops::SinkhornBatching::whole_batch;
    ops::SinkhornStats together;
    const Run all = run(x, upstream, {}, options, &together);
    std::vector<int64_t> counts;
    for (const int64_t b : {0, 1, 3}) {
      const auto part = [&](const at::Tensor& t) { return t.narrow(0, b, 1); };
      ops::SinkhornStats alone;
      const Run single = run({part(x.q), part(x.k), part(x.v)}, part(upstream), {}, options, &alone);
      check_close({part(all.out), part(all.q), part(all.k), part(all.v)}, single, 1e-12);
      CHECK(alone.residual <= 1e-3);
      counts.push_back(alone.longest);
    }
    CHECK(counts[0] < counts[1]);
    CHECK(together.longest == counts[1]);
    CHECK(together.half_iterations == counts[0] + counts[1] + counts[2] + 3);
    CHECK(together.capped == 1);  // the one with the NaN, which stops at once
    CHECK(std::isnan(together.residual));
    CHECK(all.out[2].isnan().any().item<bool>());
  }
}

/// Bytes of CPU tensors above those alive at construction, at their highest.
class PeakMemory final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t peak() const { return peak_; }

 private:
  int64_t now_ = 0, peak_ = 0;
};

/// Torch's CPU threads, while alive.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

int64_t peak_of(int64_t tokens, const ops::SinkhornOptions& options) {
  const AttentionInputs x = attention_inputs({1, 1, tokens, 8}, at::kFloat, 55);
  const at::Tensor upstream = attention_inputs({1, 1, tokens, 8}, at::kFloat, 56).q;
  const auto memory = std::make_shared<PeakMemory>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, memory);
  run(x, upstream, {}, options);
  return memory->peak();
}

TEST_CASE("sinkformer: memory of forward and backward grows linearly with the tokens") {
  const Threads one(1);                   // the observer belongs to this thread
  constexpr int64_t kTokenBytes = 8 * 4;  // of one tensor [N, D] in float32
  for (const ops::SinkhornOptions& options :
       {truncated(3), truncated(4), truncated(25), converged(1e-3, ops::SinkhornGradient::implicit)}) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations);
    const int64_t small = peak_of(1024, options), large = peak_of(3072, options);
    CHECK(small > int64_t{1} << 20);  // the observer sees a tile
    CHECK(small < int64_t{6} << 20);
    // 2048 further tokens: about twenty tensors [N, D], potentials [T, N]; one matrix would be 32 MiB more.
    CHECK(large - small < 2048 * (40 * kTokenBytes + 4 * (options.half_iterations + 20)));
  }
}

TEST_CASE("sinkformer: the number of threads changes no bit") {
  const AttentionInputs x = attention_inputs({3, 2, 40, 8}, at::kFloat, 57);
  const at::Tensor upstream = attention_inputs({3, 2, 40, 8}, at::kFloat, 58).q;
  for (const ops::SinkhornOptions& options :
       {truncated(3), truncated(4), converged(1e-5, ops::SinkhornGradient::implicit)}) {
    const auto with = [&](int threads) {
      const Threads limit(threads);
      return run(x, upstream, lengths_of({40, 31, 7}), options);
    };
    const Run one = with(1), three = with(3);
    CHECK(test::same_bits(one.out, three.out));
    CHECK(test::same_bits(one.q, three.q));
    CHECK(test::same_bits(one.k, three.k));
    CHECK(test::same_bits(one.v, three.v));
  }
}

}  // namespace
}  // namespace lotformer
