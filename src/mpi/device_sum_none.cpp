// SPDX-License-Identifier: MIT
#include "lotformer/core/error.h"
#include "lotformer/mpi/device_sum.h"

namespace lotformer {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::device, "built without CUDA, so that nothing can be added up over GPUs");
}

}  // namespace

std::string device_sum_library() {
  return {};
}
std::string make_device_sum_id() {
  refuse();
}
DeviceSum::DeviceSum(const std::string& /*id*/, int64_t /*rank*/, int64_t /*size*/) {
  refuse();
}
DeviceSum::~DeviceSum() = default;
void DeviceSum::operator()(const at::Tensor& /*tensor*/) const {
  refuse();
}

}  // namespace lotformer
