// SPDX-License-Identifier: MIT
#include "gauss_transform.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "lotformer/core/error.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::difference;

struct Spread {
  const char* name;
  at::Tensor points;
};

/// The axis as it may come: tied, narrow, wide, crowded with outliers at every distance.
std::vector<Spread> spreads(int64_t count) {
  at::Generator generator = at::detail::createCPUGenerator(7);
  const auto normal = [&](int64_t n) { return at::randn({n}, generator, at::kDouble); };
  const at::Tensor outliers = at::linspace(0.05, 0.5, 64, at::kDouble);  // 1.6 h to 16 h from the crowd
  return {{"all equal", at::full({count}, 0.3, at::kDouble)},
          {"std 0.1", normal(count) * 0.1},
          {"std 1", normal(count)},
          {"std 1000", normal(count) * 1000},
          {"far from zero", normal(count) * 0.1 + 900},
          {"crowd and outliers", at::cat({at::rand({count}, generator, at::kDouble) * 1e-3, outliers})},
          {"two values", at::randint(0, 2, {count}, generator, at::kDouble) * 0.08},
          {"huge values", at::cat({normal(count) * 0.1, at::full({40}, 1e18, at::kDouble)})}};
}

struct Dense {
  at::Tensor kernel, derivative;
};

Dense dense(const at::Tensor& points, double tau) {
  const at::Tensor gap = points.to(at::kDouble).unsqueeze(1) - points.to(at::kDouble).unsqueeze(0);
  const at::Tensor kernel = at::exp(-gap * gap / tau);
  return {kernel, -2 / tau * gap * kernel};
}

/// Largest entry of |actual - exact| divided by what the bound is proportional to.
double relative_to(const at::Tensor& actual, const at::Tensor& exact, const at::Tensor& unit) {
  return ((actual.to(at::kDouble) - exact).abs() / unit).max().item<double>();
}

}  // namespace

TEST_CASE("gauss transform: within its bound of the dense sums at every spread") {
  constexpr double kTau = 1e-3;
  at::Generator generator = at::detail::createCPUGenerator(8);
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    for (const Spread& spread : spreads(1500)) {
      INFO(c10::toString(type) << ", " << spread.name);
      const at::Tensor points = spread.points.to(type);
      const at::Tensor values = at::randn({points.size(0), 19}, generator, at::kDouble).to(type);
      const Dense exact = dense(points, kTau);
      const at::Tensor a = values.to(at::kDouble), size = a.abs().sum(0);
      const double bound = type == at::kDouble ? 2e-14 : 2e-7;
      CHECK(relative_to(ops::gauss_transform(points, values, kTau), exact.kernel.matmul(a), size) < bound);
      CHECK(relative_to(ops::gauss_transform_derivative(points, values, kTau), exact.derivative.matmul(a),
                        size) < bound * 10 / std::sqrt(kTau));
      // What attention divides by: a weighted mean, for outliers as well.
      const at::Tensor mass = exact.kernel.sum(1, true);
      const at::Tensor ones = at::ones({points.size(0), 1}, type);
      CHECK(relative_to(ops::gauss_transform(points, ones, kTau), mass, mass) < 50 * bound);
      const at::Tensor mean = ops::gauss_transform(points, values, kTau).to(at::kDouble) / mass;
      CHECK_NEAR(mean, exact.kernel.matmul(a) / mass, 100 * bound);
    }
  }
}

TEST_CASE("gauss transform: sizes, order and tau") {
  at::Generator generator = at::detail::createCPUGenerator(9);
  for (const double tau : {1e-3, 0.7, 40.0}) {
    for (const int64_t count : {1, 2, 12, 13, 20, 21, 22, 257}) {
      for (const int64_t columns : {1, 7, 16, 33}) {
        INFO("tau " << tau << ", " << count << " points, " << columns << " columns");
        const at::Tensor points = at::randn({count}, generator, at::kDouble);
        const at::Tensor values = at::randn({count, columns}, generator, at::kDouble);
        const at::Tensor exact = dense(points, tau).kernel.matmul(values);
        CHECK_NEAR(ops::gauss_transform(points, values, tau), exact, 1e-12);
      }
    }
  }
  CHECK(ops::gauss_transform(at::empty({0}), at::empty({0, 3}), 1).sizes() == at::IntArrayRef({0, 3}));
  CHECK(ops::gauss_transform(at::ones({4}), at::empty({4, 0}), 1).sizes() == at::IntArrayRef({4, 0}));
}

TEST_CASE("gauss transform: refuses what it cannot do") {
  const at::Tensor points = at::ones({3}), values = at::ones({3, 2});
  CHECK_THROWS_AS(ops::gauss_transform(points, values, 0), Error);
  CHECK_THROWS_AS(ops::gauss_transform(points, values, std::nan("")), Error);
  CHECK_THROWS_AS(ops::gauss_transform(points / 0, values, 1), Error);
  CHECK_THROWS_AS(ops::gauss_transform(points, values.to(at::kDouble), 1), Error);
  CHECK_THROWS_AS(ops::gauss_transform(points, at::ones({4, 2}), 1), Error);
  CHECK_THROWS_AS(ops::gauss_transform(points.to(at::kLong), values, 1), Error);
}

}  // namespace lotformer
