// SPDX-License-Identifier: MIT
// Times at the shapes of the tasks. Cold: inputs rotate through more memory than the L2 cache holds; warm:
// the same inputs again.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>

#include "call.h"
#include "commands.h"
#include "json_line.h"

namespace lotformer::gpu {
namespace {

struct Task {
  const char* name;
  Shape shape;
  int64_t half_iterations;
  double epsilon;
};

/// Batch times heads as in the LRA configurations (retrieval: both towers), the published T and epsilon.
const std::vector<Task>& tasks() {
  static const std::vector<Task> all = {{"listops", {32, 2, 2048, 4, 32}, 50, 0.1},
                                        {"text", {32, 2, 4096, 32, 32}, 50, 0.1},
                                        {"retrieval", {32, 2, 4096, 64, 32}, 50, 0.1},
                                        {"image", {64, 2, 1024, 8, 32}, 5, 25},
                                        {"pathfinder", {128, 2, 1024, 64, 32}, 50, 0.1}};
  return all;
}

Call call_of(const Task& task, Mode mode, at::ScalarType type, uint64_t seed, c10::Device device) {
  Call call = random_call(task.shape, mode, type, seed, /*ragged=*/false);
  call.pivots.mul_(task.epsilon / call.epsilon);  // scores keep a standard deviation of one epsilon
  call.epsilon = task.epsilon;
  call.half_iterations = task.half_iterations;
  call.options = {1e-4, 32};
  return moved(call, device);
}

struct Times {
  double median = 0, p10 = 0, p90 = 0;  // microseconds
};

Times quantiles(std::vector<double> us) {
  std::sort(us.begin(), us.end());
  const auto at = [&](double q) {
    return us[static_cast<size_t>(q * static_cast<double>(us.size() - 1) + 0.5)];
  };
  return {at(0.5), at(0.1), at(0.9)};
}

Times time_gpu(int runs, const std::function<void(int)>& body) {
  for (int i = 0; i < 3; ++i) body(i);
  std::vector<double> us;
  for (int i = 0; i < runs; ++i) {
    at::cuda::CUDAEvent start(cudaEventDefault), stop(cudaEventDefault);
    c10::cuda::device_synchronize();
    start.record();
    body(i);
    stop.record();
    stop.synchronize();
    us.push_back(1e3 * start.elapsed_time(stop));
  }
  return quantiles(std::move(us));
}

Times time_cpu(int runs, const std::function<void()>& body) {
  body();
  std::vector<double> us;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  return quantiles(std::move(us));
}

struct Measured {
  std::string implementation, op, dtype, launch, cache;
};

void print(const Task& task, const Measured& what, const Times& times, double mean_passes = 0) {
  JsonLine line("bench");
  line.text("task", task.name).text("implementation", what.implementation).text("op", what.op);
  line.text("dtype", what.dtype).text("launch", what.launch).text("cache", what.cache);
  const Shape& s = task.shape;
  line.integer("problems", s.batch * s.heads).integer("tokens", s.tokens).integer("pivots", s.pivots);
  line.integer("head_dim", s.head_dim).integer("half_iterations", task.half_iterations);
  line.number("median_us", times.median).number("p10_us", times.p10).number("p90_us", times.p90);
  if (mean_passes > 0) line.number("mean_passes", mean_passes);
  line.print();
}

void say_failed(const Task& task, const Measured& what, const std::exception& error) {
  JsonLine line("bench_failed");
  const std::string text = error.what();
  line.text("task", task.name).text("implementation", what.implementation).text("launch", what.launch);
  line.text("reason", text.substr(0, text.find('\n'))).print();
}

using Attention = std::function<at::Tensor(const Call&)>;

at::Tensor fused_softmax(const Call& c) {
  return at::scaled_dot_product_attention(c.q, c.k, c.v);
}

/// As a training with padding has it: a mask over the keys, here of lengths of 5/8 on average, and dropout on
/// the weights. torch has one fused kernel that takes both.
Attention masked_softmax(const Task& task, c10::Device device) {
  const int64_t batch = task.shape.batch, tokens = task.shape.tokens;
  const at::Tensor lengths = (tokens - (at::arange(batch) * 3 * tokens / (4 * batch))).to(at::kLong);
  const at::Tensor mask =
      at::arange(tokens).unsqueeze(0).lt(lengths.unsqueeze(1)).view({batch, 1, 1, tokens}).to(device);
  return [mask](const Call& c) { return at::scaled_dot_product_attention(c.q, c.k, c.v, mask, 0.1); };
}

/// Leaves that want gradients, so that a backward pass computes all of them.
Call as_leaves(Call call) {
  for (at::Tensor* t : {&call.q, &call.k, &call.v, &call.pivots, &call.masses})
    *t = t->detach().requires_grad_();
  return call;
}

void forward_backward(const Call& call, const Attention& attention) {
  const std::vector<at::Tensor> inputs = {call.q, call.k, call.v, call.pivots};
  torch::autograd::grad({attention(call)}, inputs, {call.d_out}, /*retain_graph=*/false,
                        /*create_graph=*/false,
                        /*allow_unused=*/true);
}

/// A capture that fails is ended: no stream may be left capturing.
void capture(at::cuda::CUDAGraph& graph, const std::function<void()>& body) {
  graph.capture_begin();
  try {
    body();
  } catch (...) {
    try {
      graph.capture_end();
    } catch (const std::exception&) {  // what the body said is the reason
    }
    throw;
  }
  graph.capture_end();
}

/// All four of: forward, forward and backward; launched, captured.
void measure(const Task& task, Measured what, const std::vector<Call>& calls, const Attention& attention,
             int runs, double mean_passes) {
  const auto of = [&](int i) -> const Call& { return calls[static_cast<size_t>(i) % calls.size()]; };
  const auto forward = [&](int i) {
    const at::NoGradGuard no_grad;
    attention(of(i));
  };
  const auto both = [&](int i) { forward_backward(of(i), attention); };
  for (const auto& [op, body] :
       {std::pair<const char*, std::function<void(int)>>{"forward", forward}, {"forward_backward", both}}) {
    what.op = op;
    try {
      what.launch = "launched";
      what.cache = "cold";
      print(task, what, time_gpu(runs, body), mean_passes);
      what.cache = "warm";
      print(task, what, time_gpu(runs, [&](int) { body(0); }), mean_passes);
      what.launch = "captured";
      at::cuda::CUDAGraph graph;
      const c10::cuda::CUDAStreamGuard side(c10::cuda::getStreamFromPool());
      for (int i = 0; i < 3; ++i) body(0);
      c10::cuda::device_synchronize();
      capture(graph, [&body = body] { body(0); });
      print(task, what, time_gpu(runs, [&](int) { graph.replay(); }), mean_passes);
    } catch (const std::exception& error) {
      say_failed(task, what, error);
    }
  }
}

double passes_of(const Call& call) {
  ops::PivotSolveStats stats;
  const at::NoGradGuard no_grad;
  ops::pivot_attention(pivot_call(call, Path::core), &stats);
  return stats.counted().mean_passes();
}

size_t copies_beyond_cache(const Task& task, at::ScalarType type) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return 4;
  const Shape& s = task.shape;
  const double bytes =
      4.0 * static_cast<double>(s.batch * s.heads * s.tokens * s.head_dim) * (type == at::kFloat ? 4 : 2);
  return static_cast<size_t>(std::clamp(2.0 * properties.l2CacheSize / bytes + 1, 2.0, 16.0));
}

/// Pivots times this: scores with a standard deviation of so many epsilon.
std::vector<Call> calls_of(const Task& task, Mode mode, at::ScalarType type, double sharpness,
                           const Setting& setting) {
  std::vector<Call> calls;
  for (size_t i = 0; i < copies_beyond_cache(task, type); ++i) {
    Call call = call_of(task, mode, type, i, setting.device);
    call.pivots.mul_(sharpness);
    calls.push_back(as_leaves(std::move(call)));
  }
  return calls;
}

void measure_core(const Task& task, const std::string& name, Mode mode, at::ScalarType type, double sharpness,
                  const Setting& setting) {
  const std::vector<Call> calls = calls_of(task, mode, type, sharpness, setting);
  const std::string dtype = type == at::kFloat ? "float32" : "bf16";
  const double passes = mode == Mode::exact ? passes_of(calls[0]) : 0;
  measure(
      task, {name, "", dtype, "", ""}, calls, [](const Call& c) { return attention(c, Path::core); },
      setting.quick ? 20 : 50, passes);
}

void measure_softmax(const Task& task, const Setting& setting) {
  const std::vector<Call> calls = calls_of(task, Mode::exact, at::kBFloat16, 1, setting);
  measure(task, {"softmax_fused", "", "bf16", "", ""}, calls, fused_softmax, 20, 0);
  measure(task, {"softmax_masked", "", "bf16", "", ""}, calls, masked_softmax(task, setting.device), 20, 0);
}

void measure_published(const Task& task, const Setting& setting) {
  const std::vector<Call> published = {
      as_leaves(call_of(task, Mode::reference, at::kFloat, 1, setting.device))};
  measure(
      task, {"published_eager", "", "float32", "", ""}, published,
      [](const Call& c) { return attention(c, Path::aten); }, setting.quick ? 5 : 10, 0);
}

void measure_cpu(const Task& task) {
  const Call host = as_leaves(call_of(task, Mode::exact, at::kFloat, 1, at::kCPU));
  print(task, {"lotformer_cpu", "forward_backward", "float32", "launched", "warm"},
        time_cpu(3, [&] { forward_backward(host, [](const Call& c) { return attention(c, Path::core); }); }),
        passes_of(host));
}

}  // namespace

void measure_ceilings(const Setting& setting) {
  const auto on_gpu = at::TensorOptions().device(setting.device).dtype(at::kFloat);
  const at::Tensor from = at::randn({int64_t{1} << 28}, on_gpu), to = at::empty_like(from);
  const Times copy = time_gpu(20, [&](int) { to.copy_(from); });
  const int64_t n = 8192;
  const at::Tensor a = at::randn({n, n}, on_gpu), b = at::randn({n, n}, on_gpu), c = at::empty_like(a);
  const Times product = time_gpu(10, [&](int) { at::mm_out(const_cast<at::Tensor&>(c), a, b); });
  JsonLine line("ceilings");
  line.number("copy_gb_per_s", 2 * 4 * static_cast<double>(from.numel()) / copy.median * 1e-3);
  line.number("float32_tflops", 2 * std::pow(static_cast<double>(n), 3) / product.median * 1e-6).print();
}

/// What matters most first, for every task: a stage that is stopped leaves the rest out.
void measure_attention(const Setting& setting) {
  const auto each = [](const auto& work) {
    for (const Task& task : tasks()) work(task);
  };
  each([&](const Task& t) { measure_core(t, "lotformer_exact", Mode::exact, at::kBFloat16, 1, setting); });
  each([&](const Task& t) { measure_softmax(t, setting); });
  each([&](const Task& t) { measure_core(t, "lotformer_sharp", Mode::exact, at::kBFloat16, 10, setting); });
  each([&](const Task& t) { measure_core(t, "lotformer_exact", Mode::exact, at::kFloat, 1, setting); });
  each([&](const Task& t) { measure_published(t, setting); });
  each([&](const Task& t) {
    measure_core(t, "lotformer_truncated", Mode::truncated, at::kBFloat16, 1, setting);
  });
  each([](const Task& t) { measure_cpu(t); });
}

Call task_call(const Setting& setting, const std::string& name) {
  for (const Task& task : tasks()) {
    if (name == task.name) return call_of(task, Mode::exact, at::kBFloat16, 1, setting.device);
  }
  throw std::runtime_error("no task " + name);
}

}  // namespace lotformer::gpu
