// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "recording.h"

namespace lotformer {

/// Where there are no graphs: the work is called again.
class RepeatedWork final : public Recording {
 public:
  explicit RepeatedWork(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

class RepeatingRecorder final : public Recorder {
 public:
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return std::make_unique<RepeatedWork>(std::move(work));
  }
};

}  // namespace lotformer
