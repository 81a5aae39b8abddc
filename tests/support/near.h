// SPDX-License-Identifier: MIT
// Comparisons of tensors that say where and by how much they fail. Include before support/catch.h.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <sstream>
#include <string>

namespace lotformer::test {

/// "" when max|actual - expected| <= tolerance; else the largest error and its place. NaN never passes;
/// shapes must agree.
inline std::string difference(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  std::ostringstream out;
  if (!actual.defined() || !expected.defined()) return "a tensor is undefined";
  if (actual.sizes() != expected.sizes()) {
    out << "shape " << actual.sizes() << ", expected " << expected.sizes();
    return out.str();
  }
  if (actual.numel() == 0) return "";
  const at::Tensor got = actual.detach().to(at::kDouble).flatten(),
                   want = expected.detach().to(at::kDouble).flatten();
  const at::Tensor errors = (got - want).abs().nan_to_num(HUGE_VAL, HUGE_VAL, HUGE_VAL);
  const int64_t place = errors.argmax().item<int64_t>();
  const double worst = errors[place].item<double>();
  if (worst <= tolerance) return "";
  out << "error " << worst << " > " << tolerance << " at flat index " << place << " of " << actual.sizes()
      << ": got " << got[place].item<double>() << ", expected " << want[place].item<double>();
  return out.str();
}

/// The same relative to the largest entry of `expected`.
inline std::string relative_difference(const at::Tensor& actual, const at::Tensor& expected,
                                       double tolerance) {
  if (!expected.defined() || expected.numel() == 0) return difference(actual, expected, tolerance);
  return difference(actual, expected,
                    tolerance * expected.detach().abs().max().to(at::kDouble).item<double>());
}

/// For gradients under an upstream gradient of order 1: relative to the largest entry or to 1, whichever is
/// larger. A gradient that is zero in exact arithmetic (one token, one pivot) is rounding noise of the terms
/// that cancel.
inline std::string gradient_difference(const at::Tensor& actual, const at::Tensor& expected,
                                       double tolerance) {
  const bool empty = !expected.defined() || expected.numel() == 0;
  const double largest = empty ? 0 : expected.detach().abs().max().to(at::kDouble).item<double>();
  return difference(actual, expected, tolerance * std::fmax(1.0, largest));
}

/// Equal in every entry; a NaN never is.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() && a.sizes() == b.sizes() && a.eq(b).all().item<bool>();
}

}  // namespace lotformer::test

/// Fails with the message of `difference`, `relative_difference` or `gradient_difference`.
#define CHECK_NEAR(actual, expected, tolerance) \
  CHECK(::lotformer::test::difference((actual), (expected), (tolerance)) == "")
#define CHECK_RELATIVE(actual, expected, tolerance) \
  CHECK(::lotformer::test::relative_difference((actual), (expected), (tolerance)) == "")
#define CHECK_GRADIENT(actual, expected, tolerance) \
  CHECK(::lotformer::test::gradient_difference((actual), (expected), (tolerance)) == "")
