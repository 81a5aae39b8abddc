// SPDX-License-Identifier: MIT
#include "lotformer/ops/dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>

#include "kernels.h"
#include "lotformer/core/rng.h"
#include "ops/tensor_tools/parallel_tasks.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Values of one task and of one seed. It decides what is dropped, so another value is another run.
constexpr int64_t kBlockValues = int64_t{1} << 15;

bool is_ours(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return x.is_cpu() && x.layout() == at::kStrided &&
         (type == at::kFloat || type == at::kDouble || type == at::kBFloat16);
}

template <class T>
void drop_blocks(uint64_t seed, double p, const at::Tensor* residual, const at::Tensor& x, at::Tensor& out) {
  const auto* values = static_cast<const T*>(x.const_data_ptr());
  const auto* added = residual ? static_cast<const T*>(residual->const_data_ptr()) : nullptr;
  auto* result = static_cast<T*>(out.mutable_data_ptr());
  const int64_t count = x.numel();
  parallel_tasks((count + kBlockValues - 1) / kBlockValues, [&](int64_t block) {
    const int64_t first = block * kBlockValues;
    drop(DropoutMask(mix_seeds(seed, static_cast<uint64_t>(block)), p), std::min(kBlockValues, count - first),
         added ? added + first : nullptr, values + first, result + first);
  });
}

/// All contiguous, of one dtype.
at::Tensor dropped(uint64_t seed, double p, const at::Tensor* residual, const at::Tensor& x) {
  at::Tensor out = at::empty_like(x);
  if (x.scalar_type() == at::kDouble) {
    drop_blocks<double>(seed, p, residual, x, out);
  } else if (x.scalar_type() == at::kFloat) {
    drop_blocks<float>(seed, p, residual, x, out);
  } else {
    drop_blocks<Bfloat16Bits>(seed, p, residual, x, out);
  }
  return out;
}

void save(AutogradContext* ctx, double p, int64_t seed) {
  ctx->saved_data["p"] = p;
  ctx->saved_data["seed"] = seed;
}

/// The map of the forward pass: it is linear and its own transpose.
at::Tensor dropped_again(AutogradContext* ctx, const at::Tensor& upstream) {
  return dropped(static_cast<uint64_t>(ctx->saved_data["seed"].toInt()), ctx->saved_data["p"].toDouble(),
                 nullptr, upstream.contiguous());
}

struct Dropout : torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, double p, int64_t seed) {
    save(ctx, p, seed);
    return dropped(static_cast<uint64_t>(seed), p, nullptr, x.contiguous());
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    return {dropped_again(ctx, upstream[0]), {}, {}};
  }
};

struct AddDropout : torch::autograd::Function<AddDropout> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& residual, const at::Tensor& x, double p,
                            int64_t seed) {
    save(ctx, p, seed);
    const at::Tensor added = residual.contiguous();
    return dropped(static_cast<uint64_t>(seed), p, &added, x.contiguous());
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    return {upstream[0], ctx->needs_input_grad(1) ? dropped_again(ctx, upstream[0]) : at::Tensor(), {}, {}};
  }
};

std::atomic<uint64_t> dropout_stream = 0;

void check_probability(double p) {
  TORCH_CHECK_VALUE(p >= 0 && p < 1, "dropout: p = ", p, " is not in [0, 1)");
}

}  // namespace

uint64_t draw_seed() {
  const auto bits = static_cast<uint64_t>(at::empty({}, at::kLong).random_().item<int64_t>());
  return dropout_stream == 0 ? bits : mix_seeds(bits, dropout_stream) >> 1;
}

void set_dropout_stream(uint64_t stream) {
  dropout_stream = stream;
}

at::Tensor dropout(const at::Tensor& x, double p, bool train) {
  check_probability(p);
  if (!train || p == 0) return x;
  if (!is_ours(x)) return at::dropout(x, p, true);
  return Dropout::apply(x, p, static_cast<int64_t>(draw_seed()));
}

at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double p, bool train) {
  TORCH_CHECK_VALUE(residual.sizes() == x.sizes(), "dropout: x has shape ", x.sizes(),
                    ", what it is added to ", residual.sizes());
  if (!train || p == 0 || !is_ours(x) || residual.scalar_type() != x.scalar_type())
    return residual + ops::dropout(x, p, train);  // at:: has the name too
  check_probability(p);
  return AddDropout::apply(residual, x, p, static_cast<int64_t>(draw_seed()));
}

}  // namespace lotformer::ops
