// SPDX-License-Identifier: MIT
#include "core.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "launch.h"
#include "ops/pivot/newton_rules.h"

namespace lotformer::ops::pivot::cuda {
namespace {

constexpr int kRows = 6, kMaxCluster = 8, kMaxSplits = 4, kDimStep = 32, kMaxHeadDim = 64;
// Blocks that a CTA takes in turn before more CTAs share a side: what each of them does before the first
// block costs about as much as a few blocks.
constexpr int kLeastBlocks = 4;
constexpr int kBusyThreads = 512;  // of streamed solvers, that a multiprocessor has registers for
constexpr int kMostStageRows = 64, kLeastStageRows = 16;  // layout.h
constexpr int64_t kMaxTokens = int64_t{1} << 24, kMaxProblems = int64_t{1} << 22, kMaxHalfIterations = 100000;

const KernelSet& table_row(int row) {
  static const std::array<const KernelSet* (*)(), kRows> rows = {
      [] { return &kernel_set_4(); },  [] { return &kernel_set_8(); },  [] { return &kernel_set_16(); },
      [] { return &kernel_set_32(); }, [] { return &kernel_set_64(); }, [] { return &kernel_set_128(); }};
  return *rows[row]();
}

int row_of(int64_t pivots) {
  int row = 0;
  while (row < kRows && table_row(row).pivots < pivots) ++row;
  return row;
}

int padded(int64_t head_dim) {
  return static_cast<int>((head_dim + kDimStep - 1) / kDimStep * kDimStep);
}

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Smallest power of two that is not below x.
int power_of_two(int64_t x) {
  int result = 1;
  while (result < x && result < 2 * kMaxCluster) result *= 2;
  return result;
}

bool truncated_iterations(const Problem& p) {
  return p.mode != Mode::exact;
}

/// Room for pivot updates: the query side of T half-iterations has T / 2, the key side not more.
int64_t steps_of(const Problem& p) {
  return truncated_iterations(p) ? p.half_iterations / 2 : 0;
}

std::string tensor_refusal(const char* name, const RowTensor& t, const Problem& p) {
  const std::size_t alignment = p.bf16 ? 4 : 8;
  if (reinterpret_cast<std::uintptr_t>(t.data) % alignment != 0)
    return std::string(name) + " is not aligned to a pair of numbers";
  if (t.batch_stride % 2 || t.head_stride % 2 || t.token_stride % 2)
    return std::string(name) + " has an odd stride";
  return {};
}

/// Whether rows can be read four numbers at a time.
bool is_wide(const RowTensor& t, const Problem& p) {
  return reinterpret_cast<std::uintptr_t>(t.data) % (p.bf16 ? 8 : 16) == 0 && t.batch_stride % 4 == 0 &&
         t.head_stride % 4 == 0 && t.token_stride % 4 == 0 && p.head_dim % 4 == 0;
}

std::string shape_refusal(const Problem& p) {
  if (p.pivots < 1 || p.pivots > 128)
    return "the CUDA core has up to 128 pivots, not " + std::to_string(p.pivots);
  if (p.head_dim < 2 || p.head_dim > kMaxHeadDim || p.head_dim % 2)
    return "the CUDA core has even head dimensions up to 64, not " + std::to_string(p.head_dim);
  if (p.tokens < 1 || p.tokens > kMaxTokens)
    return "the CUDA core has 1 to 2^24 tokens, not " + std::to_string(p.tokens);
  if (p.batch < 1 || p.heads < 1 || p.batch > kMaxProblems / p.heads)
    return "batch times heads is outside 1 to 2^22";
  if (!(p.epsilon > 0)) return "epsilon must be above 0";
  return {};
}

std::string option_refusal(const Problem& p) {
  if (truncated_iterations(p) && (p.half_iterations < 2 || p.half_iterations > kMaxHalfIterations))
    return "the CUDA core has 2 to 100000 half-iterations, not " + std::to_string(p.half_iterations);
  if (!truncated_iterations(p) && p.max_passes < 1) return "max_passes must be at least 1";
  if (p.kappa && truncated_iterations(p)) return "relaxed marginals are defined for mode exact only";
  if ((p.masses[0] || p.masses[1]) && truncated_iterations(p))
    return "masses of the tokens are defined for mode exact only";
  return {};
}

/// Shared memory of the hungriest kernel of a row.
std::size_t shared_bytes_of(const KernelSet& set, int padded_dim, int stage_rows) {
  std::size_t most = 0;
  for (const KernelShape* shape : {&set.streamed, &set.output, &set.adjoint, &set.apply})
    most = std::max(most, shape->shared_bytes(padded_dim, stage_rows));
  return most;
}

/// As many as fit, else the least.
int stage_rows_of(const KernelSet& set, int padded_dim, const Device& device) {
  int rows = kMostStageRows;
  while (rows > kLeastStageRows && shared_bytes_of(set, padded_dim, rows) > device.shared_bytes) rows /= 2;
  return rows;
}

/// Carves arrays out of one piece of memory, or counts when there is none.
class Carver {
 public:
  explicit Carver(void* memory) : base_(static_cast<char*>(memory)) {}
  template <class T>
  void take(T*& pointer, int64_t count) {
    pointer = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 15) / 16 * 16;
  }
  std::size_t used() const { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

std::size_t carve_state(const Problem& p, const Plan& plan, PivotArgs& args, void* memory) {
  Carver carver(memory);
  const int64_t problems = p.batch * p.heads, r = table_row(plan.row).pivots;
  carver.take(args.potentials, 2 * problems * (steps_of(p) + 1) * r);
  carver.take(args.marginal, 2 * problems * r);
  carver.take(args.gram, truncated_iterations(p) ? 0 : 2 * problems * r * r);
  carver.take(args.pooled, problems * r * plan.padded_dim);
  carver.take(args.residual, 2 * problems);
  carver.take(args.passes, 2 * problems);
  return carver.used();
}

std::size_t carve_scratch(const Problem& p, const Plan& plan, PivotArgs& args, void* memory) {
  Carver carver(memory);
  const int64_t problems = p.batch * p.heads, r = table_row(plan.row).pivots;
  const int64_t cluster = std::max(plan.cluster, plan.stream_cluster);
  carver.take(args.partial, 2 * problems * cluster * r * std::max<int64_t>(r, plan.padded_dim));
  carver.take(args.flag, 2 * problems);
  carver.take(args.d_pooled, problems * r * plan.padded_dim);
  carver.take(args.adjoint, 2 * problems * (steps_of(p) + 2) * r);
  carver.take(args.sigma_part, 2 * problems * r);
  carver.take(args.z_part, 2 * problems * plan.splits * r * plan.padded_dim);
  carver.take(args.kappa_part, 2 * problems);
  return carver.used();
}

PivotArgs arguments(const Problem& p, const Plan& plan, void* state, void* scratch) {
  PivotArgs args{};
  args.batch = static_cast<int>(p.batch);
  args.heads = static_cast<int>(p.heads);
  args.tokens = static_cast<int>(p.tokens);
  args.pivots = static_cast<int>(p.pivots);
  args.head_dim = static_cast<int>(p.head_dim);
  args.padded_dim = plan.padded_dim;
  args.bf16 = p.bf16;
  args.wide = is_wide(p.q, p) && is_wide(p.k, p) && is_wide(p.v, p);
  args.mode = p.mode;
  args.half_iterations = static_cast<int>(p.half_iterations);
  args.tolerance = static_cast<float>(p.tolerance);
  args.max_passes = static_cast<int>(std::min<int64_t>(p.max_passes, std::numeric_limits<int>::max()));
  args.log_scale =
      static_cast<float>(rules::kLog2e / (std::sqrt(static_cast<double>(p.head_dim)) * p.epsilon));
  args.clamp = p.mode == Mode::reference ? static_cast<float>(rules::published_bound(p.epsilon))
                                         : std::numeric_limits<float>::infinity();
  args.splits = plan.splits;
  args.stage_rows = plan.stage_rows;
  args.steps = static_cast<int>(steps_of(p));
  args.q = p.q;
  args.k = p.k;
  args.v = p.v;
  args.z = p.z;
  args.sigma = p.sigma;
  args.kappa = p.kappa;
  for (int side = 0; side < 2; ++side) args.masses[side] = p.masses[side];
  args.lengths = p.mode == Mode::reference ? nullptr : p.lengths;
  carve_state(p, plan, args, state);
  carve_scratch(p, plan, args, scratch);
  return args;
}

std::string run(const KernelShape& shape, int64_t ctas, int cluster, const PivotArgs& args, void* stream) {
  return launch(shape.kernel, ctas * cluster, cluster, shape.threads,
                shape.shared_bytes(args.padded_dim, args.stage_rows), args, stream);
}

}  // namespace

std::string refusal(const Problem& p, const Device& device) {
  for (const std::string& reason : {shape_refusal(p), option_refusal(p), tensor_refusal("q", p.q, p),
                                    tensor_refusal("k", p.k, p), tensor_refusal("v", p.v, p)}) {
    if (!reason.empty()) return reason;
  }
  const std::size_t needed =
      shared_bytes_of(table_row(row_of(p.pivots)), padded(p.head_dim), kLeastStageRows);
  if (needed > device.shared_bytes) {
    return std::to_string(p.pivots) + " pivots of dimension " + std::to_string(p.head_dim) + " need " +
           std::to_string(needed) + " bytes of shared memory, this GPU has " +
           std::to_string(device.shared_bytes);
  }
  return {};
}

std::string refusal(const Problem& p, const Gradients& g, const Device& device) {
  for (const std::string& reason :
       {refusal(p, device), tensor_refusal("the gradient of the output", g.d_out, p),
        tensor_refusal("the gradient of q", g.d_q, p), tensor_refusal("the gradient of k", g.d_k, p),
        tensor_refusal("the gradient of v", g.d_v, p)}) {
    if (!reason.empty()) return reason;
  }
  return {};
}

Plan make_plan(const Problem& p, const Device& device) {
  Plan plan;
  plan.row = row_of(p.pivots);
  plan.padded_dim = padded(p.head_dim);
  const KernelSet& set = table_row(plan.row);
  plan.stage_rows = stage_rows_of(set, plan.padded_dim, device);
  const int largest = std::min(device.max_cluster, kMaxCluster);
  for (int i = 0; i < 2; ++i) {
    const KernelShape& shape = set.resident[i];
    if (!shape.kernel || shape.shared_bytes(plan.padded_dim, plan.stage_rows) > device.shared_bytes) continue;
    const int cluster = power_of_two(divide_up(p.tokens, shape.rows));
    if (cluster > largest || (plan.resident >= 0 && cluster >= plan.cluster)) continue;
    plan.resident = i;
    plan.cluster = cluster;
    plan.newton_price = shape.newton_price;
  }
  const int64_t blocks = divide_up(p.tokens, set.streamed.rows);
  const int64_t shares = divide_up(blocks, kLeastBlocks);
  plan.stream_cluster = std::min(power_of_two(shares), largest);
  const int ctas = device.multiprocessors * std::max(kBusyThreads / set.streamed.threads, 1);
  plan.redo_clusters = std::max(ctas / plan.stream_cluster, 1);
  plan.splits = static_cast<int>(std::min<int64_t>(shares, kMaxSplits));
  return plan;
}

std::size_t state_bytes(const Problem& problem, const Plan& plan) {
  PivotArgs args{};
  return carve_state(problem, plan, args, nullptr);
}

std::size_t scratch_bytes(const Problem& problem, const Plan& plan) {
  PivotArgs args{};
  return carve_scratch(problem, plan, args, nullptr);
}

SolverRecord solver_record(const Problem& problem, const Plan& plan, void* state) {
  PivotArgs args{};
  carve_state(problem, plan, args, state);
  return {args.residual, args.passes};
}

std::string forward(const Problem& p, const Plan& plan, const RowTensor& out, bool gradients, void* state,
                    void* scratch, void* stream) {
  const KernelSet& set = table_row(plan.row);
  PivotArgs args = arguments(p, plan, state, scratch);
  args.out = out;
  args.gradients = gradients;
  const int64_t problems = p.batch * p.heads;
  args.clusters = static_cast<int>(2 * problems);
  std::string error;
  args.newton_price = 1;
  if (plan.resident >= 0) {
    args.newton_price = plan.newton_price;
    error = run(set.resident[plan.resident], 2 * problems, plan.cluster, args, stream);
    args.newton_price = 1;
    args.only_flagged = 1;
    args.clusters = std::min(args.clusters, plan.redo_clusters);
  }
  if (error.empty()) error = run(set.streamed, args.clusters, plan.stream_cluster, args, stream);
  if (error.empty()) error = run(set.output, problems * plan.splits, 1, args, stream);
  return error;
}

std::string backward(const Problem& p, const Plan& plan, const Gradients& g, void* state, void* scratch,
                     void* stream) {
  const KernelSet& set = table_row(plan.row);
  PivotArgs args = arguments(p, plan, state, scratch);
  args.d_out = g.d_out;
  args.wide = args.wide && is_wide(g.d_out, p);
  args.d_q = g.d_q;
  args.d_k = g.d_k;
  args.d_v = g.d_v;
  args.d_z = g.d_z;
  args.d_sigma = g.d_sigma;
  args.d_kappa = p.kappa ? g.d_kappa : nullptr;
  for (int side = 0; side < 2; ++side) args.d_masses[side] = g.d_masses[side];
  const int64_t problems = p.batch * p.heads;
  std::string error;
  for (args.side = 0; args.side < 2 && error.empty(); ++args.side)
    error = run(set.adjoint, problems, plan.stream_cluster, args, stream);
  if (error.empty()) error = run(set.apply, 2 * problems * plan.splits, 1, args, stream);
  if (error.empty()) error = run(set.reduce, p.heads * p.pivots + 1, 1, args, stream);
  return error;
}

}  // namespace lotformer::ops::pivot::cuda
