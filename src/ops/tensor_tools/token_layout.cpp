// SPDX-License-Identifier: MIT
#include "lotformer/ops/token_layout.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>

#include "lotformer/ops/lengths.h"
#include "parallel_tasks.h"
#include "token_places.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRunTokens = 128;  // of one task

/// task(sequence, first token, end) over all tokens of [B, width], each call inside one sequence.
template <class Task>
void for_each_run(int64_t sequences, int64_t width, const Task& task) {
  const int64_t runs = (width + kRunTokens - 1) / kRunTokens;
  parallel_tasks(sequences * runs, [&](int64_t i) {
    const int64_t first = i % runs * kRunTokens;
    task(i / runs, first, std::min(width, first + kRunTokens));
  });
}

/// Bytes of one [B, H, N, D] tensor; the D values of a token lie together.
struct HeadRows {
  char* data = nullptr;                       // null: zeros
  int64_t sequence = 0, head = 0, token = 0;  // strides

  static HeadRows of(const at::Tensor& x) {
    if (!x.defined()) return {};
    const auto size = static_cast<int64_t>(x.element_size());
    return {static_cast<char*>(x.data_ptr()), x.stride(0) * size, x.stride(1) * size, x.stride(2) * size};
  }
  char* at(int64_t b, int64_t h, int64_t n) const { return data + b * sequence + h * head + n * token; }
};

at::Tensor with_rows_together(const at::Tensor& x) {
  return x.defined() && x.size(3) > 1 && x.stride(3) != 1 ? x.contiguous() : x;
}

/// Tokens [T, parts * H * D] and their parts [B, H, N, D].
struct HeadCopy {
  const std::vector<int64_t>& starts;
  int64_t heads, width, row_bytes;
  char* tokens;
  std::vector<HeadRows> parts;

  int64_t sequences() const { return static_cast<int64_t>(starts.size()) - 1; }
  int64_t length(int64_t b) const { return starts[b + 1] - starts[b]; }
  char* packed(int64_t b, int64_t n, size_t part, int64_t h) const {
    const auto count = static_cast<int64_t>(parts.size());
    return tokens + (((starts[b] + n) * count + static_cast<int64_t>(part)) * heads + h) * row_bytes;
  }

  void tokens_to_parts() const {
    for_each_run(sequences(), width, [this](int64_t b, int64_t first, int64_t end) {
      const int64_t real = std::clamp(length(b), first, end);
      for (size_t part = 0; part < parts.size(); ++part) {
        for (int64_t h = 0; h < heads; ++h) {
          for (int64_t n = first; n < real; ++n)
            std::memcpy(parts[part].at(b, h, n), packed(b, n, part, h), static_cast<size_t>(row_bytes));
          for (int64_t n = real; n < end; ++n)
            std::memset(parts[part].at(b, h, n), 0, static_cast<size_t>(row_bytes));
        }
      }
    });
  }

  void parts_to_tokens() const {
    for_each_run(sequences(), width, [this](int64_t b, int64_t first, int64_t end) {
      const int64_t real = std::clamp(length(b), first, end);
      for (int64_t n = first; n < real; ++n) {
        for (size_t part = 0; part < parts.size(); ++part) {
          for (int64_t h = 0; h < heads; ++h) {
            char* to = packed(b, n, part, h);
            if (parts[part].data == nullptr) {
              std::memset(to, 0, static_cast<size_t>(row_bytes));
            } else {
              std::memcpy(to, parts[part].at(b, h, n), static_cast<size_t>(row_bytes));
            }
          }
        }
      }
    });
  }
};

/// [T, parts * H * D] -> parts times [B, H, N, D].
variable_list unpacked(const at::Tensor& tokens, const std::vector<int64_t>& starts, int64_t width,
                       int64_t heads, int64_t parts) {
  const at::Tensor x = tokens.contiguous();
  const int64_t dim = x.size(1) / (parts * heads);
  variable_list out;
  HeadCopy copy{
      starts, heads, width, dim * static_cast<int64_t>(x.element_size()), static_cast<char*>(x.data_ptr()),
      {}};
  for (int64_t i = 0; i < parts; ++i) {
    out.push_back(at::empty({copy.sequences(), heads, width, dim}, x.options().requires_grad(false)));
    copy.parts.push_back(HeadRows::of(out.back()));
  }
  copy.tokens_to_parts();
  return out;
}

/// The way back. Undefined parts are zero; `options` and `dim` are those of the others.
at::Tensor packed(variable_list parts, const std::vector<int64_t>& starts, int64_t width, int64_t heads,
                  int64_t dim, const at::TensorOptions& options) {
  const auto count = static_cast<int64_t>(parts.size());
  const at::Tensor out = at::empty({starts.back(), count * heads * dim}, options);
  HeadCopy copy{starts,
                heads,
                width,
                dim * static_cast<int64_t>(out.element_size()),
                static_cast<char*>(out.data_ptr()),
                {}};
  for (at::Tensor& part : parts) {
    part = with_rows_together(part);
    copy.parts.push_back(HeadRows::of(part));
  }
  copy.parts_to_tokens();
  return out;
}

struct SplitHeads : torch::autograd::Function<SplitHeads> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& qkv,
                               const std::vector<int64_t>& starts, int64_t width, int64_t heads) {
    ctx->saved_data["starts"] = starts;
    ctx->saved_data["width"] = width;
    ctx->set_materialize_grads(false);
    return unpacked(qkv, starts, width, heads, 3);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const auto known =
        std::find_if(upstream.begin(), upstream.end(), [](const at::Tensor& g) { return g.defined(); });
    if (known == upstream.end()) return {{}, {}, {}, {}};
    const int64_t heads = known->size(1), dim = known->size(3);
    const at::TensorOptions options = known->options();
    return {packed(std::move(upstream), ctx->saved_data["starts"].toIntVector(),
                   ctx->saved_data["width"].toInt(), heads, dim, options),
            {},
            {},
            {}};
  }
};

struct JoinHeads : torch::autograd::Function<JoinHeads> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& heads,
                            const std::vector<int64_t>& starts) {
    ctx->saved_data["starts"] = starts;
    ctx->saved_data["width"] = heads.size(2);
    ctx->saved_data["heads"] = heads.size(1);
    return packed({heads}, starts, heads.size(2), heads.size(1), heads.size(3),
                  heads.options().requires_grad(false));
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    return {unpacked(upstream[0], ctx->saved_data["starts"].toIntVector(), ctx->saved_data["width"].toInt(),
                     ctx->saved_data["heads"].toInt(), 1)[0],
            {}};
  }
};

template <class T>
void sum_rows(const at::Tensor& x, const std::vector<int64_t>& starts, at::Tensor& out) {
  const int64_t dim = x.size(1);
  const T* rows = x.const_data_ptr<T>();
  T* sums = out.mutable_data_ptr<T>();
  parallel_tasks(out.size(0), [&](int64_t b) {
    std::vector<double> total(static_cast<size_t>(dim));
    for (int64_t row = starts[b]; row < starts[b + 1]; ++row) {
      for (int64_t c = 0; c < dim; ++c) total[c] += rows[row * dim + c];
    }
    for (int64_t c = 0; c < dim; ++c) sums[b * dim + c] = static_cast<T>(total[c]);
  });
}

struct SumTokens : torch::autograd::Function<SumTokens> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const std::vector<int64_t>& starts) {
    ctx->saved_data["starts"] = starts;
    const at::Tensor rows = x.contiguous();
    at::Tensor out =
        at::empty({static_cast<int64_t>(starts.size()) - 1, x.size(1)}, x.options().requires_grad(false));
    x.scalar_type() == at::kDouble ? sum_rows<double>(rows, starts, out) : sum_rows<float>(rows, starts, out);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const std::vector<int64_t> starts = ctx->saved_data["starts"].toIntVector();
    const at::Tensor d_sum = upstream[0].contiguous();
    const at::Tensor d_x = at::empty({starts.back(), d_sum.size(1)}, d_sum.options());
    const auto bytes = static_cast<size_t>(d_sum.size(1)) * d_sum.element_size();
    const auto* from = static_cast<const char*>(d_sum.const_data_ptr());
    auto* to = static_cast<char*>(d_x.mutable_data_ptr());
    parallel_tasks(d_sum.size(0), [&](int64_t b) {
      for (int64_t row = starts[b]; row < starts[b + 1]; ++row)
        std::memcpy(to + static_cast<size_t>(row) * bytes, from + static_cast<size_t>(b) * bytes, bytes);
    });
    return {d_x, {}};
  }
};

/// x [B, N] -> [T]
at::Tensor arrange_packed(const at::Tensor& x, const std::vector<int64_t>& starts) {
  const at::Tensor from = x.contiguous();
  const at::Tensor out = at::empty({starts.back()}, x.options());
  const auto size = static_cast<int64_t>(x.element_size()), width = x.size(1);
  const auto* rows = static_cast<const char*>(from.const_data_ptr());
  auto* tokens = static_cast<char*>(out.mutable_data_ptr());
  for (size_t b = 0; b + 1 < starts.size(); ++b) {
    std::memcpy(tokens + starts[b] * size, rows + static_cast<int64_t>(b) * width * size,
                static_cast<size_t>((starts[b + 1] - starts[b]) * size));
  }
  return out;
}

}  // namespace

TokenLayout TokenLayout::dense(const at::Tensor& lengths, int64_t sequences, int64_t width) {
  TokenLayout layout;
  layout.lengths_ = lengths;
  layout.sequences_ = sequences;
  layout.width_ = width;
  layout.rows_ = sequences * width;
  return layout;
}

TokenLayout TokenLayout::packed(const at::Tensor& lengths, int64_t width) {
  TokenLayout layout = dense(lengths, lengths.numel(), width);
  const at::Tensor counts = lengths.contiguous();
  layout.starts_.push_back(0);
  for (int64_t b = 0; b < counts.numel(); ++b) {
    const int64_t length = counts.const_data_ptr<int64_t>()[b];
    TORCH_CHECK_VALUE(length >= 0 && length <= width, "lengths: sequence ", b, " has ", length,
                      " tokens, the batch is ", width, " wide");
    layout.starts_.push_back(layout.starts_.back() + length);
  }
  layout.rows_ = layout.starts_.back();
  return layout;
}

TokenLayout TokenLayout::indexed(const at::Tensor& lengths, int64_t width, int64_t slots) {
  TokenLayout layout = dense(lengths, lengths.numel(), width);
  const TokenPlaces places = places_of_tokens(lengths, width, slots);
  layout.source_ = places.source;
  layout.target_ = places.target;
  layout.rows_ = slots;
  return layout;
}

at::Tensor TokenLayout::arrange(const at::Tensor& x) const {
  if (is_indexed()) return x.reshape({-1}).index_select(0, source_);
  return is_packed() ? arrange_packed(x, starts_) : x.reshape({-1});
}

std::array<at::Tensor, 3> split_heads(const at::Tensor& qkv, const TokenLayout& layout, int64_t heads) {
  if (layout.is_packed()) {
    const variable_list parts = SplitHeads::apply(qkv, layout.starts(), layout.width(), heads);
    return {parts[0], parts[1], parts[2]};
  }
  // [B, N, 3, H, D] -> three views [B, H, N, D]
  const auto parts = padded_tokens(qkv, layout)
                         .view({layout.sequences(), layout.width(), 3, heads, qkv.size(1) / (3 * heads)})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);
  return {parts[0], parts[1], parts[2]};
}

at::Tensor join_heads(const at::Tensor& heads, const TokenLayout& layout) {
  if (layout.is_packed()) return JoinHeads::apply(heads, layout.starts());
  const at::Tensor all =
      heads.transpose(1, 2).reshape({layout.sequences() * layout.width(), heads.size(1) * heads.size(3)});
  return layout.is_indexed() ? gather_rows(all, {layout.source(), layout.target()}) : all;
}

at::Tensor padded_tokens(const at::Tensor& x, const TokenLayout& layout) {
  TORCH_CHECK(!layout.is_packed(), "padded_tokens: a packed layout");
  const int64_t places = layout.sequences() * layout.width();
  const at::Tensor all =
      layout.is_indexed() ? scatter_rows(x, {layout.source(), layout.target()}, places) : x;
  return all.view({layout.sequences(), layout.width(), x.size(1)});
}

at::Tensor sum_tokens(const at::Tensor& x, const TokenLayout& layout) {
  if (layout.is_packed()) return SumTokens::apply(x, layout.starts());
  const at::Tensor tokens = padded_tokens(x, layout);
  if (layout.is_indexed()) return tokens.sum(1);
  const at::Tensor mask = length_mask(layout.lengths(), layout.width());
  return (mask.defined() ? tokens.masked_fill(mask.logical_not().unsqueeze(2), 0) : tokens).sum(1);
}

}  // namespace lotformer::ops
