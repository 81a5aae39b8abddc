// SPDX-License-Identifier: MIT
#include "late_numbers.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace lotformer {

LateNumbers::LateNumbers(const std::vector<at::Tensor>& numbers) {
  std::vector<at::Tensor> there;
  for (const at::Tensor& x : numbers) {
    if (!x.is_cpu()) there.push_back(x.detach().reshape({-1}).to(at::kDouble));
  }
  at::Tensor here;
  if (!there.empty()) {
    // One copy for all. Into pageable memory it would wait.
    const at::Tensor packed = at::cat(there);
    here = at::empty(packed.sizes(), at::TensorOptions(at::kDouble).pinned_memory(true));
    here.copy_(packed, /*non_blocking=*/true);
    const c10::Device device = packed.device();
    copied_.emplace(device.type());
    copied_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  int64_t begin = 0;
  for (const at::Tensor& x : numbers) {
    if (x.is_cpu()) {
      parts_.push_back(x.detach().reshape({-1}).to(at::kDouble, /*non_blocking=*/false, /*copy=*/true));
    } else {
      parts_.push_back(here.narrow(0, begin, x.numel()));
      begin += x.numel();
    }
  }
}

std::vector<double> LateNumbers::read() {
  if (copied_) copied_->synchronize();
  std::vector<double> values;
  for (const at::Tensor& part : parts_) {
    const double* begin = part.const_data_ptr<double>();
    values.insert(values.end(), begin, begin + part.numel());
  }
  return values;
}

}  // namespace lotformer
