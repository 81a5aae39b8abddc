// SPDX-License-Identifier: MIT
// A build without CUDA.
#include "recording.h"
#include "repeated_work.h"

namespace lotformer {

struct OwnStream::State {};

OwnStream::OwnStream(c10::Device) {}
OwnStream::~OwnStream() = default;

std::unique_ptr<Recording> record(c10::Device, std::function<void()> work) {
  return std::make_unique<RepeatedWork>(std::move(work));
}

}  // namespace lotformer
