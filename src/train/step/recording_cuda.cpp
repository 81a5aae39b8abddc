// SPDX-License-Identifier: MIT
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <string>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "recording.h"
#include "repeated_work.h"

namespace lotformer {
namespace {

/// What waits for the device throws before CUDA sees it. CUDA would end the recording, and torch, which then
/// cannot end its own part of it, would refuse every random number and every further recording.
class WaitingIsAnError {
 public:
  WaitingIsAnError() : before_(c10::cuda::warning_state().get_sync_debug_mode()) {
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  }
  ~WaitingIsAnError() { c10::cuda::warning_state().set_sync_debug_mode(before_); }
  WaitingIsAnError(const WaitingIsAnError&) = delete;
  WaitingIsAnError& operator=(const WaitingIsAnError&) = delete;

 private:
  c10::cuda::SyncDebugMode before_;
};

[[noreturn]] void cannot_go_on(const std::exception& error) {
  const std::string text = error.what();
  throw Error(ErrorKind::device,
              concat("CUDA: a recording failed where torch cannot go on from: ",
                     text.substr(0, text.find('\n')), " (--set train.graph=off does without recordings)"));
}

class CudaRecording final : public Recording {
 public:
  CudaRecording(c10::Device device, at::cuda::MempoolId_t pool, const std::function<void()>& work)
      : device_(device) {
    const c10::cuda::CUDAGuard guard(device);
    // A recording takes memory of its own, and meanwhile nothing that is only kept for later can be given
    // back.
    c10::cuda::CUDACachingAllocator::emptyCache();
    begin(pool);
    try {
      const WaitingIsAnError waiting_is_an_error;
      work();
    } catch (...) {
      end();
      throw;
    }
    end();
  }
  void replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    graph_.replay();
  }

 private:
  void begin(at::cuda::MempoolId_t pool) {
    try {
      // Thread-local: the thread that prepares batches may take pinned memory meanwhile.
      graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    } catch (const std::exception& error) {
      cannot_go_on(error);
    }
  }
  void end() {
    try {
      graph_.capture_end();
    } catch (const std::exception& error) {
      cannot_go_on(error);
    }
  }

  c10::Device device_;
  at::cuda::CUDAGraph graph_;
};

class CudaRecorder final : public Recorder {
 public:
  explicit CudaRecorder(c10::Device device) : device_(device), pool_(at::cuda::graph_pool_handle()) {}
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return std::make_unique<CudaRecording>(device_, pool_, work);
  }

 private:
  c10::Device device_;
  at::cuda::MempoolId_t pool_;  // torch forgets it with the last of its graphs: a new recorder has another
};

}  // namespace

struct OwnStream::State {
  explicit State(c10::Device own) : device(own), guard(c10::cuda::getStreamFromPool(false, own.index())) {}
  c10::Device device;
  c10::cuda::CUDAStreamGuard guard;
};

OwnStream::OwnStream(c10::Device device) {
  if (!device.is_cuda()) return;
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::device_synchronize();  // what the default stream has begun, this one does not wait for
  state_ = std::make_unique<State>(device);
}

OwnStream::~OwnStream() {
  if (!state_) return;
  try {
    const c10::cuda::CUDAGuard guard(state_->device);
    c10::cuda::device_synchronize();
  } catch (const std::exception&) {  // a device that has failed says so to whoever asks it next
  }
}

std::unique_ptr<Recorder> make_recorder(c10::Device device) {
  if (device.is_cuda()) return std::make_unique<CudaRecorder>(device);
  return std::make_unique<RepeatingRecorder>();
}

}  // namespace lotformer
