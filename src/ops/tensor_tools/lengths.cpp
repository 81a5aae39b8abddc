// SPDX-License-Identifier: MIT
#include "lotformer/ops/lengths.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/logical_or.h>

#include <sstream>
#include <string>

#include "lotformer/core/error.h"

namespace lotformer::ops {
namespace {

template <class... Args>
[[noreturn]] void refuse(const Args&... args) {
  std::ostringstream message;
  (message << ... << args);
  throw Error(ErrorKind::internal, message.str());
}

}  // namespace

at::Tensor length_mask(const at::Tensor& lengths, int64_t tokens) {
  if (!lengths.defined()) return {};
  return at::arange(tokens, lengths.options()).unsqueeze(0).lt(lengths.unsqueeze(1));
}

at::Tensor fill_empty_sequences(const at::Tensor& mask) {
  if (!mask.defined()) return {};
  return at::logical_or(mask, mask.any(1, /*keepdim=*/true).logical_not());
}

at::Tensor select_real_tokens(const at::Tensor& x, const at::Tensor& mask) {
  if (!mask.defined()) return x;
  return x.masked_fill(mask.logical_not().unsqueeze(1).unsqueeze(-1), 0);
}

void check_attention_inputs(std::string_view name, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const at::Tensor& lengths) {
  if (q.dim() != 4) refuse(name, ": q has shape ", q.sizes(), "; [B, H, N, D] is expected");
  if (!q.is_floating_point()) refuse(name, ": q is ", q.scalar_type(), "; a floating point type is expected");
  const auto agree = [&](const char* what, const at::Tensor& x) {
    if (x.sizes() != q.sizes()) {
      refuse(name, ": ", what, " has shape ", x.sizes(), ", q has ", q.sizes(), "; they must agree");
    }
    if (x.scalar_type() != q.scalar_type()) {
      refuse(name, ": ", what, " is ", x.scalar_type(), ", q is ", q.scalar_type(), "; they must agree");
    }
    if (x.device() != q.device()) {
      refuse(name, ": ", what, " is on ", x.device(), ", q is on ", q.device(), "; they must agree");
    }
  };
  agree("k", k);
  agree("v", v);
  if (!lengths.defined()) return;
  if (lengths.dim() != 1 || lengths.size(0) != q.size(0) || lengths.scalar_type() != at::kLong) {
    refuse(name, ": lengths is ", lengths.scalar_type(), " of shape ", lengths.sizes(), "; int64 [",
           q.size(0), "] is expected");
  }
  if (lengths.device() != q.device()) {
    refuse(name, ": lengths is on ", lengths.device(), ", q is on ", q.device(), "; they must agree");
  }
}

}  // namespace lotformer::ops
