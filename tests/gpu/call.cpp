// SPDX-License-Identifier: MIT
#include "call.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

namespace lotformer::gpu {

std::string name_of(Mode mode) {
  return mode == Mode::exact ? "exact" : mode == Mode::truncated ? "truncated" : "reference";
}

Call random_call(const Shape& s, Mode mode, at::ScalarType tokens_type, uint64_t seed, bool ragged) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) { return at::randn(shape, generator, at::kFloat); };
  Call call;
  call.mode = mode;
  call.options = {1e-6, 64};
  const at::Tensor packed = normal({s.batch, s.tokens, 3, s.heads, s.head_dim}).to(tokens_type);
  const auto part = [&](int64_t i) { return packed.select(2, i).transpose(1, 2); };
  call.q = part(0);
  call.k = part(1);
  call.v = part(2);
  call.pivots = normal({s.heads, s.pivots, s.head_dim}) * call.epsilon;
  const at::Tensor logits = normal({s.heads, s.pivots}) * 0.3;
  call.masses = mode == Mode::exact ? at::softmax(logits, -1) : at::log_softmax(logits, -1);
  call.d_out = normal({s.batch, s.heads, s.tokens, s.head_dim}).to(tokens_type);
  if (ragged && mode != Mode::reference) {
    call.lengths = at::full({s.batch}, s.tokens, at::kLong);
    for (int64_t b = 1; b < s.batch; ++b)
      call.lengths[b] = std::max<int64_t>(1, s.tokens * (s.batch - b) / s.batch);
  }
  return call;
}

const char* name_of(Hardship hardship) {
  switch (hardship) {
    case Hardship::none:
      return "none";
    case Hardship::sharp:
      return "sharp";
    case Hardship::relaxed:
      return "relaxed";
    case Hardship::empty:
      return "empty";
    case Hardship::starving:
      return "starving";
  }
  return "";
}

Call hard_call(const Shape& shape, at::ScalarType tokens_type, uint64_t seed, Hardship hardship) {
  Call call = random_call(shape, Mode::exact, tokens_type, seed, /*ragged=*/true);
  switch (hardship) {
    case Hardship::none:
      break;
    case Hardship::sharp:
      call.pivots.mul_(30);
      call.options = {1e-6, 200};
      break;
    case Hardship::relaxed:
      call.kappa = at::empty({2, shape.heads}, at::kFloat);
      call.kappa[0].fill_(0.7);
      call.kappa[1].fill_(std::numeric_limits<float>::infinity());
      break;
    case Hardship::empty:
      call.lengths[shape.batch - 1] = 0;
      break;
    case Hardship::starving:
      call.pivots.select(1, 0).mul_(20);  // far from every token
      call.options = {1e-6, 200};
      break;
  }
  return call;
}

Call moved(const Call& call, c10::Device device) {
  Call result = call;
  for (at::Tensor* t : {&result.q, &result.k, &result.v, &result.pivots, &result.masses, &result.lengths,
                        &result.d_out, &result.kappa})
    if (t->defined()) *t = t->to(device);
  return result;
}

ops::PivotCall pivot_call(const Call& c, Path path) {
  ops::PivotCall call{
      .q = c.q, .k = c.k, .v = c.v, .pivots = c.pivots, .masses = c.masses, .lengths = c.lengths};
  call.epsilon = c.epsilon;
  call.mode = c.mode;
  call.solver = c.options;
  call.half_iterations = c.half_iterations;
  if (c.kappa.defined()) {
    call.marginals.query_kappa = c.kappa[0];
    call.marginals.key_kappa = c.kappa[1];
  }
  call.core = path == Path::aten ? ops::PivotCore::aten
              : c.q.is_cpu()     ? ops::PivotCore::cpu
                                 : ops::PivotCore::cuda;
  return call;
}

at::Tensor attention(const Call& c, Path path) {
  return ops::pivot_attention(pivot_call(c, path));
}

Results run(const Call& call, Path path) {
  Call own = call;
  std::vector<at::Tensor*> leaves = {&own.q, &own.k, &own.v, &own.pivots, &own.masses};
  if (own.kappa.defined()) leaves.push_back(&own.kappa);
  for (at::Tensor* t : leaves) *t = t->detach().requires_grad_();
  const at::Tensor out = attention(own, path);
  out.backward(own.d_out);
  Results results{{out.detach()}};
  for (const at::Tensor* t : leaves)
    results.tensors.push_back(t->grad().defined() ? t->grad() : at::zeros_like(t->detach()));
  return results;
}

Results oracle(const Call& call) {
  Call wide = moved(call, at::kCPU);
  for (at::Tensor* t : {&wide.q, &wide.k, &wide.v, &wide.pivots, &wide.masses, &wide.d_out, &wide.kappa}) {
    if (t->defined()) *t = t->to(at::kDouble);
  }
  wide.options = {1e-12, 500};
  return run(wide, Path::aten);
}

double error(const Results& got, const Results& expected, size_t which) {
  at::Tensor a = got.tensors[which].to(at::kCPU, at::kDouble),
             b = expected.tensors[which].to(at::kCPU, at::kDouble);
  if (which == 5) {
    a = a - a.mean(-1, /*keepdim=*/true);
    b = b - b.mean(-1, /*keepdim=*/true);
  }
  const double gap = (a - b).abs().max().item<double>();
  const double largest = std::max(b.abs().max().item<double>(), 1e-2);
  return std::isnan(gap) ? std::numeric_limits<double>::infinity() : gap / largest;
}

bool same_bits(const Results& a, const Results& b) {
  for (size_t i = 0; i < a.tensors.size(); ++i)
    if (!a.tensors[i].eq(b.tensors[i]).all().item<bool>()) return false;
  return true;
}

}  // namespace lotformer::gpu
