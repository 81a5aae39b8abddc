// SPDX-License-Identifier: MIT
// CPU kernels of the operators: tensors in, pointers to the core.
#include "bind.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>

#include "core.h"
#include "ops/tensor_tools/parallel_tasks.h"

namespace lotformer::ops {

int64_t trajectory_rows(int64_t half_iterations) {
  return pivot::cpu::trajectory_length(half_iterations);
}

namespace pivot::cpu::bind {
namespace {

void run_tasks(int64_t count, void (*task)(void*, int64_t), void* context) {
  // parallel_tasks takes fewer tasks than threads one after the other: the rest are empty.
  const int64_t threads = at::get_num_threads();
  parallel_tasks(count < threads ? threads : count, [&](int64_t i) {
    if (i < count) task(context, i);
  });
}

pivot::cpu::Executor executor() {
  return {at::get_num_threads(), &run_tasks,
          [](std::size_t bytes) { return c10::GetCPUAllocator()->raw_allocate(bytes); },
          [](void* memory) { c10::GetCPUAllocator()->raw_deallocate(memory); }};
}

/// Rows must be contiguous; everything else about the layout is free.
at::Tensor with_rows(const at::Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : x.contiguous();
}

template <class T>
pivot::cpu::View<T> view_of(const at::Tensor& x) {
  return {x.data_ptr<std::remove_const_t<T>>(), x.stride(0), x.stride(1), x.stride(2)};
}

at::Tensor whole(const at::Tensor& x) {
  return x.defined() ? x.contiguous() : x;
}

template <class T>
pivot::cpu::Masses<T> masses_of(const at::Tensor& x) {
  if (!x.defined()) return {};
  return {x.data_ptr<std::remove_const_t<T>>(), x.stride(0), x.stride(1)};
}

/// A call's tensors, made ready and kept alive.
struct Inputs {
  explicit Inputs(const PivotArguments& a)
      : q(with_rows(a.q)),
        k(with_rows(a.k)),
        v(with_rows(a.v)),
        pivots(whole(a.pivots)),
        sigma(whole(a.sigma)),
        lengths(whole(a.lengths)),
        kappa(whole(a.kappa)),
        masses{whole(a.masses.query), whole(a.masses.key)},
        epsilon(a.epsilon) {}
  template <class T>
  pivot::cpu::Problem<T> problem() const {
    return {q.size(0),           q.size(1),
            q.size(2),           q.size(3),
            pivots.size(1),      lengths.defined() ? lengths.data_ptr<int64_t>() : nullptr,
            view_of<const T>(q), view_of<const T>(k),
            view_of<const T>(v), pivots.data_ptr<T>(),
            sigma.data_ptr<T>(), epsilon};
  }
  template <class T>
  const T* relaxation() const {
    return kappa.defined() ? kappa.data_ptr<T>() : nullptr;
  }
  at::Tensor q, k, v, pivots, sigma, lengths, kappa;
  TokenMasses masses;
  double epsilon;
};

template <class T>
pivot::cpu::ExactState<T> state_of(const PivotState& s) {
  return {s.potentials.data_ptr<T>(),
          s.marginal.data_ptr<T>(),
          s.gram.numel() ? s.gram.data_ptr<T>() : nullptr,
          s.summary.data_ptr<T>(),
          s.residual.defined() ? s.residual.data_ptr<T>() : nullptr,
          s.passes.defined() ? s.passes.data_ptr<int64_t>() : nullptr};
}

template <class T>
pivot::cpu::Gradients<T> gradients_of(const at::Tensor& d_out, const PivotGradients& g) {
  return {view_of<const T>(d_out), view_of<T>(g.q),        view_of<T>(g.k),
          view_of<T>(g.v),         g.pivots.data_ptr<T>(), g.sigma.data_ptr<T>()};
}

}  // namespace

void exact(const PivotArguments& arguments, double tolerance, int64_t max_passes, const at::Tensor& out,
           const PivotState& state) {
  const Inputs in(arguments);
  AT_DISPATCH_FLOATING_TYPES(in.q.scalar_type(), "lotformer::pivot_exact", [&] {
    const pivot::cpu::ExactForward<scalar_t> call{
        in.problem<scalar_t>(),
        in.relaxation<scalar_t>(),
        {masses_of<const scalar_t>(in.masses.query), masses_of<const scalar_t>(in.masses.key)},
        tolerance,
        max_passes,
        view_of<scalar_t>(out),
        state_of<scalar_t>(state)};
    pivot::cpu::kernels_of<scalar_t>(pivot::cpu::core()).exact_forward(call, executor());
  });
}

void exact_backward(const PivotArguments& arguments, const at::Tensor& d_out, const PivotState& state,
                    const PivotGradients& gradients) {
  const Inputs in(arguments);
  const at::Tensor upstream = with_rows(d_out);
  AT_DISPATCH_FLOATING_TYPES(in.q.scalar_type(), "lotformer::pivot_exact_backward", [&] {
    const pivot::cpu::ExactBackward<scalar_t> call{
        in.problem<scalar_t>(),
        in.relaxation<scalar_t>(),
        {masses_of<const scalar_t>(in.masses.query), masses_of<const scalar_t>(in.masses.key)},
        state_of<scalar_t>(state),
        gradients_of<scalar_t>(upstream, gradients),
        gradients.kappa.defined() ? gradients.kappa.data_ptr<scalar_t>() : nullptr,
        {masses_of<scalar_t>(gradients.masses.query), masses_of<scalar_t>(gradients.masses.key)}};
    pivot::cpu::kernels_of<scalar_t>(pivot::cpu::core()).exact_backward(call, executor());
  });
}

void truncated(const PivotArguments& arguments, const TruncatedRun& run, const at::Tensor& out) {
  const Inputs in(arguments);
  AT_DISPATCH_FLOATING_TYPES(in.q.scalar_type(), "lotformer::pivot_truncated", [&] {
    const pivot::cpu::TruncatedForward<scalar_t> call{in.problem<scalar_t>(),
                                                      run.half_iterations,
                                                      run.reference,
                                                      view_of<scalar_t>(out),
                                                      run.trajectory.data_ptr<scalar_t>(),
                                                      run.summary.data_ptr<scalar_t>()};
    pivot::cpu::kernels_of<scalar_t>(pivot::cpu::core()).truncated_forward(call, executor());
  });
}

void truncated_backward(const PivotArguments& arguments, const TruncatedRun& run, const at::Tensor& d_out,
                        const PivotGradients& gradients) {
  const Inputs in(arguments);
  const at::Tensor upstream = with_rows(d_out);
  AT_DISPATCH_FLOATING_TYPES(in.q.scalar_type(), "lotformer::pivot_truncated_backward", [&] {
    const pivot::cpu::TruncatedBackward<scalar_t> call{{in.problem<scalar_t>(),
                                                        run.half_iterations,
                                                        run.reference,
                                                        {},
                                                        run.trajectory.data_ptr<scalar_t>(),
                                                        run.summary.data_ptr<scalar_t>()},
                                                       gradients_of<scalar_t>(upstream, gradients)};
    pivot::cpu::kernels_of<scalar_t>(pivot::cpu::core()).truncated_backward(call, executor());
  });
}

}  // namespace pivot::cpu::bind
}  // namespace lotformer::ops
