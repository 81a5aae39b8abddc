// SPDX-License-Identifier: MIT
#include "operator_counter.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace lotformer {
namespace {

std::mutex counts_mutex;
OperatorCounts counts;  // under the mutex; of the counter that lives

/// An operator that has begun in this thread. What went in is looked at then: later it is gone.
struct Call : at::ObserverContext {
  bool calls_others = false, whole = false;
  std::vector<const void*> storages;
  int64_t bytes = 0;
};
thread_local std::vector<Call*> begun;

constexpr std::array<std::string_view, 6> kMemoryOnly = {"aten::empty",      "aten::empty_strided",
                                                         "aten::empty_like", "aten::new_empty",
                                                         "aten::resize_",    "aten::record_stream"};

/// Counted as one whatever it is made of.
bool is_whole(std::string_view name) {
  return name.starts_with("lotformer::") || name.starts_with("aten::_foreach_") ||
         name.starts_with("aten::_fused_");
}

template <class Visit>
void visit_tensors(const c10::IValue& value, const Visit& visit) {
  if (value.isTensor()) {
    if (value.toTensor().defined() && value.toTensor().has_storage()) visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) {
      if (tensor.defined() && tensor.has_storage()) visit(tensor);
    }
  }
}

template <class Values, class Visit>
void visit_all(const Values& values, const Visit& visit) {
  for (const c10::IValue& value : values) visit_tensors(value, visit);
}

const void* storage_of(const at::Tensor& tensor) {
  return tensor.storage().unsafeGetStorageImpl();
}

/// Whether all that comes out is memory that went in, and nothing was written to it.
bool is_view(std::string_view name, const Call& call, const at::RecordFunction& function) {
  if (name.ends_with("_") || name.ends_with("out")) return false;
  bool any = false, all = true;
  visit_all(function.outputs(), [&](const at::Tensor& t) {
    any = true;
    all = all && std::find(call.storages.begin(), call.storages.end(), storage_of(t)) != call.storages.end();
  });
  return any && all;
}

std::unique_ptr<at::ObserverContext> begin_call(const at::RecordFunction& function) {
  if (!begun.empty()) begun.back()->calls_others = true;
  auto call = std::make_unique<Call>();
  call->whole = is_whole(function.name()) || (!begun.empty() && begun.back()->whole);
  visit_all(function.inputs(), [&call](const at::Tensor& t) {
    call->storages.push_back(storage_of(t));
    call->bytes += static_cast<int64_t>(t.nbytes());
  });
  begun.push_back(call.get());
  return call;
}

void count_call(std::string_view name, const Call& call, const at::RecordFunction& function) {
  const std::lock_guard lock(counts_mutex);
  if (name == "aten::_local_scalar_dense") {
    ++counts.host_reads;
    return;
  }
  const bool memory = std::find(kMemoryOnly.begin(), kMemoryOnly.end(), name) != kMemoryOnly.end();
  if (memory || is_view(name, call, function)) return;
  ++counts.calls[std::string(name)];
  counts.bytes += call.bytes;
  visit_all(function.outputs(),
            [](const at::Tensor& t) { counts.bytes += static_cast<int64_t>(t.nbytes()); });
}

void end_call(const at::RecordFunction& function, at::ObserverContext* context) {
  auto* call = static_cast<Call*>(context);
  if (call == nullptr || begun.empty() || begun.back() != call) return;  // it began before the counting
  begun.pop_back();
  const std::string_view name = function.name();
  const bool inside_whole = !begun.empty() && begun.back()->whole;
  const bool counted = call->whole ? !inside_whole : !call->calls_others;
  if (counted || name == "aten::_local_scalar_dense") count_call(name, *call, function);
}

}  // namespace

int64_t OperatorCounts::total() const {
  return std::accumulate(calls.begin(), calls.end(), int64_t{0},
                         [](int64_t sum, const auto& item) { return sum + item.second; });
}

OperatorCounter::OperatorCounter() {
  {
    const std::lock_guard lock(counts_mutex);
    counts = {};
  }
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback(&begin_call, &end_call)
                                      .needsInputs(true)
                                      .needsOutputs(true)
                                      .scopes({at::RecordScope::FUNCTION}));
}

OperatorCounter::~OperatorCounter() {
  if (handle_ != 0) at::removeCallback(handle_);
}

OperatorCounts OperatorCounter::finish() {
  at::removeCallback(std::exchange(handle_, 0));
  const std::lock_guard lock(counts_mutex);
  return std::exchange(counts, {});
}

}  // namespace lotformer
