// SPDX-License-Identifier: MIT
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <optional>

#include "recording.h"
#include "repeated_work.h"

namespace lotformer {
namespace {

/// Graphs of a process never run at the same time and keep no result, so that one pool of memory serves all.
at::cuda::MempoolId_t shared_pool() {
  static const at::cuda::MempoolId_t pool = at::cuda::graph_pool_handle();
  return pool;
}

class CudaRecording final : public Recording {
 public:
  CudaRecording(c10::Device device, const std::function<void()>& work) : device_(device) {
    const c10::cuda::CUDAGuard guard(device);
    // Thread-local: the thread that prepares batches may take pinned memory meanwhile.
    graph_.capture_begin(shared_pool(), cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      end_failed_capture();
      throw;
    }
    graph_.capture_end();
  }
  void replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    graph_.replay();
  }

 private:
  /// What was wrong with the work is what the caller should hear of.
  void end_failed_capture() {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
    }
    (void)cudaGetLastError();  // else the next check would report the capture's
  }

  c10::Device device_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

struct OwnStream::State {
  explicit State(c10::Device device) : guard(c10::cuda::getStreamFromPool(false, device.index())) {}
  c10::cuda::CUDAStreamGuard guard;
};

OwnStream::OwnStream(c10::Device device) {
  if (!device.is_cuda()) return;
  c10::cuda::CUDAGuard guard(device);
  c10::cuda::device_synchronize();  // what the default stream has begun does not wait for this one, nor it
                                    // for that
  state_ = std::make_unique<State>(device);
}

OwnStream::~OwnStream() {
  if (!state_) return;
  try {
    c10::cuda::device_synchronize();
  } catch (const std::exception&) {  // a device that has failed says so to whoever asks it next
  }
}

std::unique_ptr<Recording> record(c10::Device device, std::function<void()> work) {
  if (device.is_cuda()) return std::make_unique<CudaRecording>(device, work);
  return std::make_unique<RepeatedWork>(std::move(work));
}

}  // namespace lotformer
