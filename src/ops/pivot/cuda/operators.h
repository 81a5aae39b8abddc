// SPDX-License-Identifier: MIT
// The operators' signatures around bind.h, and their registration. `Site` says where a call runs: constructed
// from q, it holds the device for the call and has a `target`. The library has one for GPUs, the tests one
// for the emulated kernels.
#pragma once

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "bind.h"

namespace lotformer::ops::pivot::cuda::bind {

inline PivotSetting truncated_setting(int64_t half_iterations, bool reference) {
  PivotSetting setting;
  setting.mode = reference ? PivotMode::reference : PivotMode::truncated;
  setting.half_iterations = half_iterations;
  return setting;
}

template <class Site>
struct Operators {
  using Exact = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
  using ExactGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                    at::Tensor, at::Tensor>;
  using Truncated = std::tuple<at::Tensor, at::Tensor>;
  using TruncatedGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

  static Exact exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                     const at::Tensor& sigma, const Optional& kappa, const Optional& lengths,
                     const Optional& query_masses, const Optional& key_masses, double epsilon,
                     double tolerance, int64_t max_passes, bool keep_gram) {
    const Site site(q);
    const Forward r =
        forward(arguments_of(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon),
                {PivotMode::exact, tolerance, max_passes, 0}, site.target(), keep_gram);
    return {r.out, r.state, r.residual, r.passes};
  }

  static ExactGradients exact_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k,
                                       const at::Tensor& v, const at::Tensor& pivots, const at::Tensor& sigma,
                                       const Optional& kappa, const Optional& lengths,
                                       const Optional& query_masses, const Optional& key_masses,
                                       double epsilon, const at::Tensor& state) {
    const Site site(q);
    const PivotGradients g =
        backward(arguments_of(q, k, v, pivots, sigma, kappa, lengths, query_masses, key_masses, epsilon), {},
                 d_out, state, site.target());
    const auto none = [&] { return at::empty({0}, sigma.options()); };
    const auto given = [&](const at::Tensor& x) { return x.defined() ? x : none(); };
    return {g.q, g.k, g.v, g.pivots, g.sigma, given(g.kappa), given(g.masses.query), given(g.masses.key)};
  }

  static Truncated truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& pivots, const at::Tensor& log_sigma, const Optional& lengths,
                             double epsilon, int64_t half_iterations, bool reference) {
    const Site site(q);
    const Forward r = forward({q, k, v, pivots, log_sigma, {}, lengths.value_or(at::Tensor()), epsilon},
                              truncated_setting(half_iterations, reference), site.target());
    return {r.out, r.state};
  }

  static TruncatedGradients truncated_backward(const at::Tensor& d_out, const at::Tensor& q,
                                               const at::Tensor& k, const at::Tensor& v,
                                               const at::Tensor& pivots, const at::Tensor& log_sigma,
                                               const Optional& lengths, double epsilon,
                                               int64_t half_iterations, bool reference,
                                               const at::Tensor& state) {
    const Site site(q);
    const PivotGradients g =
        backward({q, k, v, pivots, log_sigma, {}, lengths.value_or(at::Tensor()), epsilon},
                 truncated_setting(half_iterations, reference), d_out, state, site.target());
    return {g.q, g.k, g.v, g.pivots, g.sigma};
  }

  static void add_to(torch::Library& library) {
    library.impl("pivot_exact", TORCH_FN(exact));
    library.impl("pivot_exact_backward", TORCH_FN(exact_backward));
    library.impl("pivot_truncated", TORCH_FN(truncated));
    library.impl("pivot_truncated_backward", TORCH_FN(truncated_backward));
  }
};

}  // namespace lotformer::ops::pivot::cuda::bind
