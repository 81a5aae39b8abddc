// SPDX-License-Identifier: MIT
#include "lotformer/ops/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>
// after torch
#include "support/catch.h"

using namespace lotformer;

namespace {

constexpr int64_t kBlock = int64_t{1} << 15;  // values of one seed: sizes below cross its edges

at::Tensor after_seed(uint64_t seed, const at::Tensor& x, double p) {
  torch::manual_seed(seed);
  return ops::dropout(x, p, true);
}

double kept_share(const at::Tensor& dropped) {
  return dropped.ne(0).to(at::kDouble).mean().item<double>();
}

}  // namespace

TEST_CASE("dropout keeps a share of 1 - p and scales it by 1 / (1 - p)", "[dropout]") {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const double p : {0.1, 0.5, 0.9, 0.99}) {
      INFO(type << " p " << p);
      const at::Tensor x = at::full({1000, 1001}, 2, type);
      const at::Tensor y = after_seed(1, x, p);
      REQUIRE(y.scalar_type() == type);
      const auto count = static_cast<double>(x.numel());
      CHECK(std::abs(kept_share(y) - (1 - p)) < 5 * std::sqrt(p * (1 - p) / count));
      const at::Tensor kept = y.masked_select(y.ne(0));
      CHECK(kept.equal(at::full_like(kept, 2 * (1 / (1 - p)))));
      // Neighbours, rows and blocks are independent: the share of pairs that are both kept is (1 - p)^2.
      const at::Tensor flat = y.flatten().ne(0);
      for (const int64_t distance : {int64_t{1}, int64_t{64}, int64_t{1001}, kBlock}) {
        INFO("distance " << distance);
        const int64_t n = flat.numel() - distance;
        const at::Tensor both = flat.narrow(0, 0, n).logical_and(flat.narrow(0, distance, n));
        const double share = both.to(at::kDouble).mean().item<double>();
        CHECK(std::abs(share - (1 - p) * (1 - p)) < 6 * std::sqrt(p * (1 - p) / static_cast<double>(n)));
      }
    }
  }
}

TEST_CASE("dropout is a function of torch's seed; two calls differ", "[dropout]") {
  const at::Tensor x = at::ones({3, kBlock});
  const at::Tensor first = after_seed(7, x, 0.5), second = ops::dropout(x, 0.5, true);
  CHECK(after_seed(7, x, 0.5).equal(first));
  for (const at::Tensor& other : {second, after_seed(8, x, 0.5)}) {
    const double agree = other.eq(first).to(at::kDouble).mean().item<double>();
    CHECK(std::abs(agree - 0.5) < 0.02);
  }
  const double rows_agree = first[0].eq(first[1]).to(at::kDouble).mean().item<double>();
  CHECK(std::abs(rows_agree - 0.5) < 0.02);
}

TEST_CASE("dropout and its gradient have the same bits for any number of threads", "[dropout]") {
  const int before = at::get_num_threads();
  at::Tensor y, gradient;
  for (const int threads : {1, 2, 4}) {
    INFO("threads " << threads);
    at::set_num_threads(threads);
    torch::manual_seed(2);
    at::Tensor x = at::randn({9, kBlock - 5}).requires_grad_();
    const at::Tensor now = ops::add_dropout(at::randn(x.sizes()), x, 0.3, true);
    now.square().sum().backward();
    if (threads == 1) {
      y = now.detach();
      gradient = x.grad();
    }
    CHECK(now.equal(y));
    CHECK(x.grad().equal(gradient));
  }
  at::set_num_threads(before);
}

TEST_CASE("the gradient of dropout is its mask", "[dropout]") {
  for (const bool with_residual : {false, true}) {
    INFO("residual " << with_residual);
    torch::manual_seed(4);
    at::Tensor x = at::randn({7, 300}, at::kDouble).requires_grad_();
    at::Tensor residual = at::randn({7, 300}, at::kDouble).requires_grad_();
    const at::Tensor weight = at::randn({7, 300}, at::kDouble), step = at::randn({7, 300}, at::kDouble);
    const auto loss = [&](double way) {
      torch::manual_seed(5);
      const at::Tensor at_x = x + way * step;
      const at::Tensor y =
          with_residual ? ops::add_dropout(residual, at_x, 0.4, true) : ops::dropout(at_x, 0.4, true);
      return (y * weight).sum();
    };
    loss(0).backward();
    const double slope = (loss(1) - loss(-1)).item<double>() / 2;  // linear: exact for any step
    CHECK(slope == Catch::Approx((x.grad() * step).sum().item<double>()).epsilon(1e-10));
    torch::manual_seed(5);
    CHECK(x.grad().equal(ops::dropout(weight, 0.4, true)));
    if (with_residual) CHECK(residual.grad().equal(weight));
  }
}

TEST_CASE("residual + dropout is the sum of the two", "[dropout]") {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    INFO(type);
    torch::manual_seed(6);
    const at::Tensor x = at::randn({kBlock + 77}, type), residual = at::randn({kBlock + 77}, type);
    const at::Tensor expected = residual.to(at::kDouble) + after_seed(9, x.to(at::kDouble), 0.2);
    torch::manual_seed(9);
    const at::Tensor got = ops::add_dropout(residual, x, 0.2, true);
    REQUIRE(got.scalar_type() == type);
    const double unit = type == at::kDouble ? 1e-15 : type == at::kFloat ? 1e-6 : 1e-2;
    CHECK((got.to(at::kDouble) - expected).abs().max().item<double>() < 4 * unit);
  }
  const at::Tensor x = at::ones({5}, at::kBFloat16), residual = at::ones({5});
  CHECK(ops::add_dropout(residual, x, 0.5, true).scalar_type() == at::kFloat);
  CHECK_THROWS_WITH(ops::add_dropout(residual, at::ones({4}), 0.5, true), test::contains_text("shape"));
}

TEST_CASE("dropout without effect, at its ends, and of unusual tensors", "[dropout]") {
  const at::Tensor x = at::arange(1, 13).view({3, 4}).to(at::kFloat);
  CHECK(ops::dropout(x, 0, true).is_same(x));
  CHECK(ops::dropout(x, 0.5, false).is_same(x));
  CHECK(ops::add_dropout(x, x, 0.5, false).equal(2 * x));
  CHECK(ops::dropout(at::empty({0, 4}), 0.5, true).sizes() == at::IntArrayRef({0, 4}));
  const at::Tensor nearly = after_seed(1, at::ones({1000}), 1 - 1e-9);
  CHECK(nearly.eq(0).all().item<bool>());
  const at::Tensor rarely = after_seed(1, at::ones({1000}), 1e-9);
  CHECK(rarely.ne(0).all().item<bool>());
  for (const double p : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_WITH(ops::dropout(x, p, true), test::contains_text("not in [0, 1)"));
    CHECK_THROWS_WITH(ops::add_dropout(x, x, p, true), test::contains_text("not in [0, 1)"));
  }
  // The index is that of row-major order, whatever the strides.
  const at::Tensor turned = x.t().contiguous().t();
  REQUIRE_FALSE(turned.is_contiguous());
  CHECK(after_seed(3, turned, 0.5).equal(after_seed(3, x, 0.5)));
  // What is dropped is selected away: a NaN there does not survive.
  const at::Tensor kept = after_seed(3, x, 0.5).ne(0);
  const at::Tensor poisoned = x.masked_fill(kept.logical_not(), std::numeric_limits<float>::quiet_NaN());
  CHECK(after_seed(3, poisoned, 0.5).equal(after_seed(3, x, 0.5)));
}
