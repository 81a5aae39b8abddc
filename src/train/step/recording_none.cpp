// SPDX-License-Identifier: MIT
// A build without CUDA.
#include "recording.h"
#include "repeated_work.h"

namespace lotformer {

struct OwnStream::State {};

OwnStream::OwnStream(c10::Device) {}
OwnStream::~OwnStream() = default;

std::unique_ptr<Recorder> make_recorder(c10::Device) {
  return std::make_unique<RepeatingRecorder>();
}

}  // namespace lotformer
