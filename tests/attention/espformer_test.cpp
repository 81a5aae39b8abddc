// SPDX-License-Identifier: MIT
#include <cmath>
#include <string>
#include <vector>

#include "attention/espformer_support.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::differentiate;
using test::lengths_of;
using test::Results;

/// The plans of all slices of one problem, [L, N, N], straight from the formulas. Slice values [N, L].
at::Tensor dense_plans(const at::Tensor& x_slices, const at::Tensor& y_slices, double tau) {
  const auto permutation = [tau](const at::Tensor& slices) {
    const at::Tensor values = slices.t();  // [L, N]
    const at::Tensor sorted = std::get<0>(values.sort(true, 1, /*descending=*/true));
    return at::softmax((values.unsqueeze(1) - sorted.unsqueeze(2)).square() * (-1 / tau), -1);
  };
  return permutation(x_slices).transpose(1, 2).matmul(permutation(y_slices));
}

/// D_l [L].
at::Tensor dense_costs(const at::Tensor& x, const at::Tensor& y, const at::Tensor& plans) {
  const at::Tensor squares = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1);
  const at::Tensor apart = squares.gt(0);
  const at::Tensor distance = at::where(apart, at::where(apart, squares, 1.0).sqrt(), 0.0);
  return (plans * distance).sum({1, 2});
}

/// [B, H, N, D] with every problem computed alone over its real tokens. directions [H, L, D] or undefined.
at::Tensor dense_attention(const AttentionInputs& in, const std::vector<int64_t>& lengths, double tau,
                           double beta, const at::Tensor& directions) {
  std::vector<at::Tensor> sequences;
  for (int64_t b = 0; b < in.q.size(0); ++b) {
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < in.q.size(1); ++h) {
      const auto real = [&](const at::Tensor& t) { return t[b][h].narrow(0, 0, lengths[b]); };
      const double scale = 1 / std::sqrt(static_cast<double>(in.q.size(3)));
      const at::Tensor x = real(in.q) * scale, y = real(in.k) * scale;
      const auto slices = [&](const at::Tensor& t) {
        return directions.defined() ? t.matmul(directions[h].t()) : t;
      };
      const at::Tensor plans = dense_plans(slices(x), slices(y), tau);
      const at::Tensor weights = at::softmax(dense_costs(x, y, plans) * -beta, 0);
      const at::Tensor out = (plans * weights.unsqueeze(-1).unsqueeze(-1)).sum(0).matmul(real(in.v));
      heads.push_back(at::constant_pad_nd(out, {0, 0, 0, in.q.size(2) - lengths[b]}));
    }
    sequences.push_back(at::stack(heads));
  }
  return at::stack(sequences);
}

/// Queries and keys as training may make them.
AttentionInputs spread_inputs(const std::string& spread, std::vector<int64_t> shape) {
  AttentionInputs in = attention_inputs(shape, at::kDouble, 31);
  const double root = std::sqrt(static_cast<double>(shape[3]));
  if (spread == "crowded") {
    in.q *= 0.1 * root;
    in.k *= 0.1 * root;
  } else if (spread == "wide") {
    in.q *= 1000;
    in.k *= 1000;
  } else if (spread == "crowd and outliers") {
    in.q *= 0.01 * root;
    in.k *= 0.01 * root;
    in.q.narrow(2, 0, 9).mul_(20);
    in.k.narrow(2, 3, 9).mul_(30);
  } else if (spread == "coincident") {
    in.k.narrow(2, 0, 100).copy_(in.q.narrow(2, 0, 100));  // distance 0, derivative 0
  } else if (spread == "equal") {
    in.q.fill_(0.7);
    in.k.fill_(-0.2);
  }
  return in;
}

}  // namespace

TEST_CASE("espformer: outputs and gradients of the dense formulas at every spread") {
  const std::vector<int64_t> shape = {2, 1, 260, 3}, lengths = {260, 190};
  const at::Tensor upstream = attention_inputs(shape, at::kDouble, 32).q;
  for (const std::string spread :
       {"normal", "crowded", "wide", "crowd and outliers", "coincident", "equal"}) {
    for (const double beta : {0.0, 0.05, 10.0}) {
      for (const bool learned : {false, true}) {
        if (learned && beta == 10) continue;
        EspformerOptions options;
        options.inverse_temperature = beta;
        options.slices = learned ? "learned" : "axes";
        options.slice_count = learned ? 5 : 0;
        EspformerAttentionImpl module(options, {.heads = 1, .head_dim = 3});
        const AttentionInputs in = spread_inputs(spread, shape);
        for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
          INFO(spread << ", inverse temperature " << beta << ", learned " << learned << ", "
                      << c10::toString(type));
          module.to(type);
          const AttentionInputs typed{in.q.to(type), in.k.to(type), in.v.to(type)};
          const Results got = differentiate(
              typed, upstream.to(type), module.directions,
              [&](const AttentionInputs& x) { return module.forward(x.q, x.k, x.v, lengths_of(lengths)); });
          // The oracle starts from the rounded inputs.
          const AttentionInputs wide{typed.q.to(at::kDouble), typed.k.to(at::kDouble),
                                     typed.v.to(at::kDouble)};
          at::Tensor directions;
          if (learned) directions = module.directions.detach().to(at::kDouble).requires_grad_();
          const Results want = differentiate(wide, upstream, directions, [&](const AttentionInputs& x) {
            return dense_attention(x, lengths, options.tau, beta, directions);
          });
          // Float32 knows a score of 1000 to 3e-5, a thousandth of sqrt(tau).
          const double tolerance = type == at::kDouble ? 1e-11 : spread == "wide" ? 3e-3 : 2e-5;
          CHECK_RELATIVE(got.out, want.out, tolerance);
          CHECK_RELATIVE(got.v, want.v, tolerance);
          if (spread == "equal") continue;  // a sort has one-sided derivatives at ties
          CHECK_RELATIVE(got.q, want.q, 10 * tolerance);
          CHECK_RELATIVE(got.k, want.k, 10 * tolerance);
          if (learned) CHECK_RELATIVE(got.directions, want.directions, 10 * tolerance);
        }
      }
    }
  }
}

}  // namespace lotformer
