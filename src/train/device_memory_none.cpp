// SPDX-License-Identifier: MIT
#include "lotformer/core/error.h"
#include "lotformer/train/device_memory.h"

namespace lotformer {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::device, "this program was built without CUDA");
}

}  // namespace

std::string cuda_device_name(int) {
  refuse();
}
int64_t cuda_peak_bytes(int) {
  refuse();
}
void cuda_reset_peak_bytes(int) {
  refuse();
}
int64_t cuda_free_bytes(int) {
  refuse();
}
std::optional<CudaVersions> cuda_versions() {
  return std::nullopt;
}
void cuda_synchronize(int) {
  refuse();
}

}  // namespace lotformer
