// SPDX-License-Identifier: MIT
#include "train/step/late_numbers.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
// after torch
#include "support/catch.h"

using namespace lotformer;

TEST_CASE("numbers that are read late are those of the moment they were noted", "[step]") {
  const at::Tensor sums = at::tensor({1.5, -2.0, 4.0}, at::kDouble), count = at::tensor(7, at::kLong),
                   norm = at::tensor(0.25F, at::kFloat);
  LateNumbers numbers({sums, count, at::empty({0}), norm});
  sums.zero_();
  count.fill_(8);
  norm.fill_(1);
  CHECK(numbers.read() == std::vector<double>{1.5, -2.0, 4.0, 7, 0.25});
  CHECK(LateNumbers({}).read().empty());
}
