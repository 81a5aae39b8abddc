// SPDX-License-Identifier: MIT
// Work on the device that is recorded once and played back: a CUDA graph (recording_cuda.cpp). A device
// without graphs calls the work again (recording_none.cpp), so that what stands around it can be tested.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace lotformer {

class Recording {
 public:
  virtual ~Recording() = default;
  /// Does the work again: the same operators on the same addresses.
  virtual void replay() = 0;
};

/// Records `work`, on a GPU without doing it. There, work that waits for the device or asks another stream
/// throws c10::Error, and nothing is left of the attempt; it has to have been done twice in the usual way on
/// the same stream, which is not the default one (own_stream), so that libraries have their workspaces.
std::unique_ptr<Recording> record(c10::Device device, std::function<void()> work);

/// As long as it lives, this thread's work on a GPU goes to a stream that can be recorded. Nothing on a CPU.
class OwnStream {
 public:
  explicit OwnStream(c10::Device device);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lotformer
