// SPDX-License-Identifier: MIT
#include "lotformer/ops/token_scores.h"

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <optional>
#include <vector>

#include "lotformer/ops/lengths.h"
#include "parallel_tasks.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor with_rows(const at::Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : x.contiguous();
}

/// Real tokens of each sequence.
std::vector<int64_t> counts_of(const at::Tensor& x, const at::Tensor& lengths) {
  std::vector<int64_t> counts(static_cast<size_t>(x.size(0)), x.size(2));
  if (!lengths.defined()) return counts;
  const at::Tensor own = lengths.contiguous();
  counts.assign(own.const_data_ptr<int64_t>(), own.const_data_ptr<int64_t>() + own.numel());
  for (const int64_t count : counts)
    TORCH_CHECK_VALUE(count >= 0 && count <= x.size(2), "token_scores: a length of ", count, " beside ",
                      x.size(2), " tokens");
  return counts;
}

template <class T>
T dot(const T* a, const T* b, int64_t count) {
  constexpr int64_t kSums = 8;  // sums side by side, which the compiler may put into vectors
  T sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t l = 0; l < kSums; ++l) sums[l] += a[i + l] * b[i + l];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

template <class T>
void scores(const at::Tensor& x, const at::Tensor& vector, T scale, const std::vector<int64_t>& counts,
            at::Tensor& out) {
  const int64_t heads = x.size(1), tokens = x.size(2), width = x.size(3);
  const T *rows = x.const_data_ptr<T>(), *vectors = vector.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  parallel_tasks(x.size(0) * heads, [&](int64_t i) {
    const int64_t b = i / heads, h = i % heads, real = counts[static_cast<size_t>(b)];
    const T* from = rows + b * x.stride(0) + h * x.stride(1);
    for (int64_t n = 0; n < real; ++n)
      to[i * tokens + n] = scale * dot(from + n * x.stride(2), vectors + h * width, width);
    for (int64_t n = real; n < tokens; ++n) to[i * tokens + n] = 0;
  });
}

/// d_x, laid out [B, N, H, D] as the gradients of the pivot operators are, and the part of d_vector of each
/// sequence and head.
template <class T>
void score_gradients(const at::Tensor& d_out, const at::Tensor& x, const at::Tensor& vector, T scale,
                     const std::vector<int64_t>& counts, at::Tensor& d_x, at::Tensor& d_parts) {
  const int64_t heads = x.size(1), tokens = x.size(2), width = x.size(3);
  const T *rows = x.const_data_ptr<T>(), *vectors = vector.const_data_ptr<T>(),
          *upstream = d_out.const_data_ptr<T>();
  T *to = d_x.mutable_data_ptr<T>(), *parts = d_parts.mutable_data_ptr<T>();
  parallel_tasks(x.size(0) * heads, [&](int64_t i) {
    const int64_t b = i / heads, h = i % heads, real = counts[static_cast<size_t>(b)];
    const T *from = rows + b * x.stride(0) + h * x.stride(1), *own = vectors + h * width;
    T *d_rows = to + b * d_x.stride(0) + h * d_x.stride(1), *sum = parts + i * width;
    std::memset(sum, 0, sizeof(T) * static_cast<size_t>(width));
    for (int64_t n = 0; n < real; ++n) {
      const T g = scale * upstream[i * tokens + n];
      const T* row = from + n * x.stride(2);
      T* d_row = d_rows + n * d_x.stride(2);
      for (int64_t c = 0; c < width; ++c) {
        d_row[c] = g * own[c];
        sum[c] += g * row[c];
      }
    }
    for (int64_t n = real; n < tokens; ++n)
      std::memset(d_rows + n * d_x.stride(2), 0, sizeof(T) * static_cast<size_t>(width));
  });
}

struct TokenScores : torch::autograd::Function<TokenScores> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& tokens, const at::Tensor& vectors,
                            double scale, const std::optional<at::Tensor>& known_lengths) {
    const at::Tensor x = with_rows(tokens), vector = vectors.contiguous(),
                     lengths = known_lengths.value_or(at::Tensor());
    at::Tensor out = at::empty({x.size(0), x.size(1), x.size(2)}, x.options().requires_grad(false));
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "token_scores", [&] {
      scores<scalar_t>(x, vector, static_cast<scalar_t>(scale), counts_of(x, lengths), out);
    });
    ctx->saved_data["scale"] = scale;
    ctx->save_for_backward({x, vector, lengths});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &vector = saved[1], d_out = upstream[0].contiguous();
    const double scale = ctx->saved_data["scale"].toDouble();
    at::Tensor d_x = at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
    at::Tensor d_parts = at::empty({x.size(0), x.size(1), x.size(3)}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "token_scores_backward", [&] {
      score_gradients<scalar_t>(d_out, x, vector, static_cast<scalar_t>(scale), counts_of(x, saved[2]), d_x,
                                d_parts);
    });
    return {d_x, d_parts.sum(0), {}, {}};
  }
};

}  // namespace

at::Tensor token_scores(const at::Tensor& x, const at::Tensor& vector, double scale,
                        const at::Tensor& lengths) {
  // torch wants every tensor input of a function defined; an optional one may be missing.
  if (x.is_cpu())
    return TokenScores::apply(x, vector, scale, lengths.defined() ? std::optional(lengths) : std::nullopt);
  const at::Tensor mask = length_mask(lengths, x.size(2));
  const at::Tensor known =
      select_real_tokens(x, mask);  // a NaN in padding would come back in the gradient of the vector
  return at::matmul(known, (vector * scale).unsqueeze(-1)).squeeze(-1);
}

}  // namespace lotformer::ops
