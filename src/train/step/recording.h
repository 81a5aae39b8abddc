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

/// Its recordings share memory for what they compute, so that no two of them may run at the same time, and
/// none may outlive it.
class Recorder {
 public:
  virtual ~Recorder() = default;
  /// Records `work`, on a GPU without doing it. There, work that waits for the device throws c10::Error, and
  /// the device, its random numbers and its memory are then as before. It has to have been done twice in the
  /// usual way on the same stream, which is not the default one (OwnStream), so that libraries have their
  /// workspaces. Error(device), after which the process cannot go on, where CUDA ends a recording itself.
  virtual std::unique_ptr<Recording> record(std::function<void()> work) = 0;
};
std::unique_ptr<Recorder> make_recorder(c10::Device device);

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
