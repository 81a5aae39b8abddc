// SPDX-License-Identifier: MIT
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <torch/csrc/cuda/nccl.h>

#include <cstring>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/mpi/device_sum.h"

namespace lotformer {
namespace nccl = torch::cuda::nccl;
namespace {

/// NCCL's own errors in the taxonomy of ours.
template <typename Work>
auto calling_nccl(const char* what, const Work& work) {
  try {
    return work();
  } catch (const c10::Error& error) {
    std::string line = error.what_without_backtrace();
    throw Error(ErrorKind::device,
                concat(what, ": ", line.substr(0, line.find('\n')), " (NCCL_DEBUG=INFO has NCCL say more)"));
  }
}

}  // namespace

/// As torch packs it: a third for each of the three numbers of a version.
std::string device_sum_library() {
  const std::uint64_t version = nccl::version();
  return concat("NCCL ", version >> 32, ".", (version >> 16) & 0xffff, ".", version & 0xffff);
}

std::string make_device_sum_id() {
  nccl::ncclUniqueId id;
  calling_nccl("NCCL cannot be started", [&] { nccl::get_unique_id(id); });
  return {id.internal, sizeof id.internal};
}

DeviceSum::DeviceSum(const std::string& id, int64_t rank, int64_t size) {
  nccl::ncclUniqueId bytes;
  std::memcpy(bytes.internal, id.data(), std::min(id.size(), sizeof bytes.internal));
  communicator_ = calling_nccl("NCCL cannot connect the processes", [&] {
    return nccl::comm_init_rank(static_cast<int>(size), bytes, static_cast<int>(rank));
  });
}

/// The communicator is left to the end of the process: taking it down waits for the others, who may be dead.
DeviceSum::~DeviceSum() = default;

void DeviceSum::operator()(const at::Tensor& tensor) const {
  std::vector<at::Tensor> tensors = {tensor};
  calling_nccl("NCCL cannot add up the gradients", [&] {
    nccl::all_reduce(tensors, tensors, static_cast<int>(nccl::ncclRedOp::Sum),
                     {c10::cuda::getCurrentCUDAStream()}, {communicator_});
  });
}

}  // namespace lotformer
