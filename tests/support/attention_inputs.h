// SPDX-License-Identifier: MIT
// Random queries, keys and values for tests of attention modules.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <vector>

namespace lotformer::test {

struct AttentionInputs {
  at::Tensor q, k, v;
};

/// Normal entries times `scale`, the same for equal seeds.
inline AttentionInputs attention_inputs(std::vector<int64_t> shape, at::ScalarType type, uint64_t seed = 0,
                                        double scale = 1) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&] { return (at::randn(shape, generator, at::kDouble) * scale).to(type); };
  at::Tensor q = normal(), k = normal(), v = normal();
  return {q, k, v};
}

inline at::Tensor lengths_of(std::vector<int64_t> lengths) {
  return at::tensor(lengths, at::kLong);
}

}  // namespace lotformer::test
