// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <functional>
#include <stdexcept>

#include "call.h"
#include "commands.h"
#include "json_line.h"

namespace lotformer::gpu {
namespace {

constexpr int64_t kMostForward = 3,
                  kMostBackward = 4;  // kernels.md, section 9; one more node where log masses become masses

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

/// Captures `body` on a side stream after a warm-up there, and keeps the graph.
void capture_warm(at::cuda::CUDAGraph& graph, const std::function<void()>& body) {
  const c10::cuda::CUDAStreamGuard side(c10::cuda::getStreamFromPool());
  for (int i = 0; i < 3; ++i) body();
  c10::cuda::device_synchronize();
  graph.capture_begin();
  body();
  graph.capture_end();
}

int64_t kernel_nodes(at::cuda::CUDAGraph& graph) {
  size_t count = 0;
  require(cudaGraphGetNodes(graph.raw_cuda_graph(), nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  require(cudaGraphGetNodes(graph.raw_cuda_graph(), nodes.data(), &count));
  int64_t kernels = 0;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type;
    require(cudaGraphNodeGetType(node, &type));
    kernels += type == cudaGraphNodeTypeKernel;
  }
  return kernels;
}

std::vector<c10::IValue> call_operator(const char* name, std::vector<c10::IValue> stack) {
  c10::Dispatcher::singleton().findSchemaOrThrow(name, "").callBoxed(&stack);
  return stack;
}

/// Tokens, pivots, masses, lengths, options as the operators take them.
std::vector<c10::IValue> arguments(const Call& c, bool backward) {
  std::vector<c10::IValue> stack;
  if (backward) stack.emplace_back(c.d_out);
  for (const at::Tensor& t : {c.q, c.k, c.v, c.pivots, c.masses}) stack.emplace_back(t);
  const bool exact = c.mode == Mode::exact;
  if (exact) stack.emplace_back();  // kappa
  stack.push_back(c.lengths.defined() ? c10::IValue(c.lengths) : c10::IValue());
  if (exact) stack.insert(stack.end(), 2, c10::IValue());  // masses of the tokens of both sides
  stack.emplace_back(c.epsilon);
  if (exact && !backward) {
    stack.emplace_back(c.options.tolerance);
    stack.emplace_back(c.options.max_passes);
    stack.emplace_back(true);
  }
  if (!exact) {
    stack.emplace_back(c.half_iterations);
    stack.emplace_back(c.mode == Mode::reference);
  }
  return stack;
}

bool check_nodes(const Call& call, const Shape& shape) {
  const at::NoGradGuard no_grad;
  const bool exact = call.mode == Mode::exact;
  at::Tensor state;
  at::cuda::CUDAGraph forward(/*keep_graph=*/true), backward(/*keep_graph=*/true);
  capture_warm(forward, [&] {
    state = call_operator(exact ? "lotformer::pivot_exact" : "lotformer::pivot_truncated",
                          arguments(call, false))[1]
                .toTensor();
  });
  capture_warm(backward, [&] {
    std::vector<c10::IValue> stack = arguments(call, true);
    stack.emplace_back(state);
    call_operator(exact ? "lotformer::pivot_exact_backward" : "lotformer::pivot_truncated_backward",
                  std::move(stack));
  });
  const int64_t there = kernel_nodes(forward), back = kernel_nodes(backward);
  const bool passed = there <= kMostForward + (exact ? 0 : 1) && back <= kMostBackward + (exact ? 0 : 2);
  JsonLine line("nodes");
  line.text("mode", name_of(call.mode)).integer("tokens", shape.tokens).integer("pivots", shape.pivots);
  line.integer("forward", there).integer("backward", back).boolean("passed", passed).print();
  return passed;
}

bool check_replay(const Call& call, const Shape& shape) {
  const Results launched = run(call, Path::core);
  Results captured;
  at::cuda::CUDAGraph graph;
  capture_warm(graph, [&] { captured = run(call, Path::core); });
  for (at::Tensor& t : captured.tensors) t.fill_(std::numeric_limits<double>::quiet_NaN());
  c10::cuda::device_synchronize();
  graph.replay();
  c10::cuda::device_synchronize();
  const bool passed = same_bits(captured, launched);
  JsonLine line("capture");
  line.text("mode", name_of(call.mode)).integer("tokens", shape.tokens).integer("pivots", shape.pivots);
  line.boolean("passed", passed).print();
  return passed;
}

}  // namespace

bool check_capture(const Setting& setting) {
  bool passed = true;
  for (const Shape& shape :
       {Shape{4, 2, 2048, 4, 32}, Shape{4, 2, 4096, 32, 32}, Shape{4, 2, 1024, 64, 32}}) {
    for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
      Call call = moved(random_call(shape, mode, at::kFloat, 9, /*ragged=*/true), setting.device);
      call.half_iterations = 6;
      passed = check_nodes(call, shape) && passed;
      passed = check_replay(call, shape) && passed;
    }
  }
  return passed;
}

}  // namespace lotformer::gpu
