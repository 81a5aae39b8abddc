// SPDX-License-Identifier: MIT
#include "bind.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer::ops::pivot::cuda::bind {
namespace {

using Mode = PivotMode;

pivot::cuda::Mode kernel_mode(Mode mode) {
  return mode == Mode::exact       ? pivot::cuda::Mode::exact
         : mode == Mode::truncated ? pivot::cuda::Mode::truncated
                                   : pivot::cuda::Mode::reference;
}

/// Where there is one index the stride means nothing.
int64_t stride_of(const at::Tensor& x, int64_t dim) {
  return x.size(dim) > 1 ? x.stride(dim) : 0;
}

/// Rows are contiguous and begin at pairs of numbers; everything else about the layout is free.
bool kernels_read(const at::Tensor& x) {
  const auto address = reinterpret_cast<std::uintptr_t>(x.const_data_ptr());
  return x.stride(3) == 1 && address % (2 * x.element_size()) == 0 && stride_of(x, 0) % 2 == 0 &&
         stride_of(x, 1) % 2 == 0 && stride_of(x, 2) % 2 == 0;
}

at::Tensor with_rows(const at::Tensor& x) {
  return kernels_read(x) ? x : x.clone(at::MemoryFormat::Contiguous);
}

pivot::cuda::RowTensor rows_of(const at::Tensor& x) {
  return {const_cast<void*>(x.const_data_ptr()), stride_of(x, 0), stride_of(x, 1), stride_of(x, 2)};
}

at::Tensor whole(const at::Tensor& x) {
  return x.defined() ? x.contiguous() : x;
}

/// Shapes and options, no memory.
pivot::cuda::Problem problem_without_tensors(const PivotArguments& a, const PivotSetting& setting) {
  pivot::cuda::Problem p;
  p.batch = a.q.size(0);
  p.heads = a.q.size(1);
  p.tokens = a.q.size(2);
  p.head_dim = a.q.size(3);
  p.pivots = a.pivots.size(1);
  p.bf16 = a.q.scalar_type() == at::kBFloat16;
  p.mode = kernel_mode(setting.mode);
  p.epsilon = a.epsilon;
  p.half_iterations = setting.half_iterations;
  p.tolerance = setting.tolerance;
  p.max_passes = setting.max_passes;
  return p;
}

std::string type_refusal(const PivotArguments& a) {
  const at::ScalarType type = a.q.scalar_type();
  if (type == at::kFloat || type == at::kBFloat16) return {};
  return concat("the CUDA core has float32 and bf16, not ", c10::toString(type));
}

void check(const PivotArguments& a, const PivotSetting& setting, const pivot::cuda::Device& device) {
  check_shapes(a.q, a.k, a.v, a.pivots, a.sigma, a.kappa, a.lengths);
  for (const at::Tensor* x : {&a.k, &a.v}) {
    TORCH_CHECK_TYPE(x->scalar_type() == a.q.scalar_type(), "lotformer::pivot: ", x->scalar_type(),
                     " beside ", a.q.scalar_type(), " queries");
  }
  for (const at::Tensor* x : {&a.pivots, &a.sigma, &a.kappa}) {
    TORCH_CHECK_TYPE(!x->defined() || x->scalar_type() == at::kFloat,
                     "lotformer::pivot: pivots, masses and kappa are float32 on CUDA, got ",
                     x->scalar_type());
  }
  check_masses(a.masses, a.q, a.pivots);
  for (const at::Tensor* x : {&a.k, &a.v, &a.pivots, &a.sigma, &a.kappa, &a.lengths}) {
    TORCH_CHECK_VALUE(!x->defined() || x->device() == a.q.device(), "lotformer::pivot: a tensor on ",
                      x->device(), " beside queries on ", a.q.device());
  }
  const std::string reason = refusal(a, setting, device);
  TORCH_CHECK_VALUE(reason.empty() || a.q.numel() == 0, "lotformer::pivot: ", reason);
}

/// A call's tensors, made ready and kept alive until its kernels have been enqueued; the allocator keeps the
/// memory for the stream.
struct Ready {
  Ready(const PivotArguments& a, const PivotSetting& setting)
      : q(with_rows(a.q)),
        k(with_rows(a.k)),
        v(with_rows(a.v)),
        pivots(a.pivots.contiguous()),
        masses(setting.mode == Mode::exact ? a.sigma.contiguous() : a.sigma.contiguous().exp()),
        kappa(whole(a.kappa)),
        lengths(whole(a.lengths)),
        token_masses{whole(a.masses.query), whole(a.masses.key)},
        problem(problem_without_tensors(a, setting)) {
    problem.q = rows_of(q);
    problem.k = rows_of(k);
    problem.v = rows_of(v);
    problem.z = pivots.const_data_ptr<float>();
    problem.sigma = masses.const_data_ptr<float>();
    if (kappa.defined()) problem.kappa = kappa.const_data_ptr<float>();
    if (lengths.defined()) problem.lengths = lengths.const_data_ptr<int64_t>();
    if (token_masses.query.defined()) problem.masses[0] = token_masses.query.const_data_ptr<float>();
    if (token_masses.key.defined()) problem.masses[1] = token_masses.key.const_data_ptr<float>();
  }
  at::Tensor q, k, v, pivots, masses, kappa, lengths;
  TokenMasses token_masses;
  pivot::cuda::Problem problem;
};

at::TensorOptions state_options(const PivotArguments& a) {
  return a.q.options().dtype(at::kFloat);
}

int64_t numbers(std::size_t bytes) {
  return static_cast<int64_t>((bytes + sizeof(float) - 1) / sizeof(float));
}

/// Places of the solver's record, and how much of the state stands before it; in numbers of four bytes.
struct StateLayout {
  int64_t own, residual, passes;
};

StateLayout layout_of(const pivot::cuda::Problem& problem, const pivot::cuda::Plan& plan, float* state) {
  const pivot::cuda::SolverRecord record = pivot::cuda::solver_record(problem, plan, state);
  const int64_t residual = record.residual - state,
                passes = reinterpret_cast<const float*>(record.passes) - state;
  return {std::min(residual, passes), residual, passes};
}

void require_launched(const std::string& error) {
  TORCH_CHECK(error.empty(), "lotformer::pivot: ", error);
}

Forward empty_forward(const PivotArguments& a) {
  const auto record = state_options(a);
  const std::vector<int64_t> sides = {2, a.q.size(0), a.q.size(1)};
  return {empty_heads(a.q), at::empty({0}, record), at::zeros(sides, record),
          at::zeros(sides, record.dtype(at::kInt))};
}

}  // namespace

std::string refusal(const PivotArguments& a, const PivotSetting& setting, const pivot::cuda::Device& device) {
  const std::string reason = type_refusal(a);
  if (!reason.empty()) return reason;
  pivot::cuda::Problem problem = problem_without_tensors(a, setting);
  static const float present = 0;  // not looked at
  if (a.kappa.defined()) problem.kappa = &present;
  return pivot::cuda::refusal(problem, device);
}

Forward forward(const PivotArguments& a, const PivotSetting& setting, const Target& target, bool gradients) {
  check(a, setting, target.device);
  if (a.q.numel() == 0) return empty_forward(a);
  const Ready ready(a, setting);
  const pivot::cuda::Plan plan = pivot::cuda::make_plan(ready.problem, target.device);
  const at::Tensor memory =
      at::empty({numbers(pivot::cuda::state_bytes(ready.problem, plan))}, state_options(a));
  const at::Tensor scratch =
      at::empty({numbers(pivot::cuda::scratch_bytes(ready.problem, plan))}, state_options(a));
  float* state = memory.mutable_data_ptr<float>();
  const StateLayout layout = layout_of(ready.problem, plan, state);
  const std::vector<int64_t> sides = {2, a.q.size(0), a.q.size(1)};
  const int64_t problems = 2 * a.q.size(0) * a.q.size(1);
  const Forward result{empty_heads(a.q), memory.narrow(0, 0, gradients ? layout.own : 0),
                       memory.narrow(0, layout.residual, problems).view(sides),
                       memory.narrow(0, layout.passes, problems).view(at::kInt).view(sides)};
  require_launched(pivot::cuda::forward(ready.problem, plan, rows_of(result.out), gradients, state,
                                        scratch.mutable_data_ptr(), target.stream));
  return result;
}

PivotGradients backward(const PivotArguments& a, const PivotSetting& setting, const at::Tensor& d_out,
                        const at::Tensor& state, const Target& target) {
  check(a, setting, target.device);
  TORCH_CHECK_VALUE(d_out.sizes() == a.q.sizes() && d_out.scalar_type() == a.q.scalar_type(),
                    "lotformer::pivot: the gradient of the output is ", d_out.sizes(), " of ",
                    d_out.scalar_type(), " beside q ", a.q.sizes(), " of ", a.q.scalar_type());
  const auto zeros = [](const at::Tensor& x) { return x.defined() ? at::zeros_like(x) : x; };
  if (a.q.numel() == 0)
    return {zeros(a.q),
            zeros(a.k),
            zeros(a.v),
            zeros(a.pivots),
            zeros(a.sigma),
            zeros(a.kappa),
            {zeros(a.masses.query), zeros(a.masses.key)}};
  const Ready ready(a, setting);
  const pivot::cuda::Plan plan = pivot::cuda::make_plan(ready.problem, target.device);
  const at::Tensor upstream = with_rows(d_out), kept = state.contiguous();
  float* memory = const_cast<float*>(kept.const_data_ptr<float>());
  TORCH_CHECK_VALUE(kept.numel() == layout_of(ready.problem, plan, memory).own,
                    "lotformer::pivot: the state is not that of a forward call with gradients of this shape "
                    "on this device");
  const at::Tensor scratch =
      at::empty({numbers(pivot::cuda::scratch_bytes(ready.problem, plan))}, state_options(a));
  const auto like = [](const at::Tensor& x) { return x.defined() ? at::empty_like(x) : x; };
  PivotGradients result{empty_heads(a.q),
                        empty_heads(a.q),
                        empty_heads(a.q),
                        at::empty_like(ready.pivots),
                        at::empty_like(ready.masses),
                        like(ready.kappa),
                        {like(ready.token_masses.query), like(ready.token_masses.key)}};
  pivot::cuda::Gradients g;
  g.d_out = rows_of(upstream);
  g.d_q = rows_of(result.q);
  g.d_k = rows_of(result.k);
  g.d_v = rows_of(result.v);
  g.d_z = result.pivots.mutable_data_ptr<float>();
  g.d_sigma = result.sigma.mutable_data_ptr<float>();
  if (result.kappa.defined()) g.d_kappa = result.kappa.mutable_data_ptr<float>();
  if (result.masses.query.defined()) g.d_masses[0] = result.masses.query.mutable_data_ptr<float>();
  if (result.masses.key.defined()) g.d_masses[1] = result.masses.key.mutable_data_ptr<float>();
  require_launched(
      pivot::cuda::backward(ready.problem, plan, g, memory, scratch.mutable_data_ptr(), target.stream));
  if (setting.mode != Mode::exact) result.sigma.mul_(ready.masses);  // to that of log sigma
  return result;
}

}  // namespace lotformer::ops::pivot::cuda::bind
