// SPDX-License-Identifier: MIT
// Event files that TensorBoard reads: records with checksums (TFRecord), each an Event message in protobuf's
// wire format. Only what the trainer writes is here; tests/scripts/tensorboard_reads.sh reads it back with
// the real package. (The messages: tensorflow/core/util/event.proto, framework/summary.proto.)
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "lotformer/core/file_system.h"

namespace lotformer {

/// CRC-32C (Castagnoli), as RFC 3720 has it: of "123456789" it is 0xE3069283.
uint32_t crc32c(std::string_view bytes);

class EventFile {
 public:
  /// A new file in `folder`, which is made. The reader forgets what earlier files say of steps from `step`
  /// on: a resumed run does them again. Error(disk) where it cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t step);
  void scalar(int64_t step, const std::string& tag, double value);
  /// Markdown.
  void text(int64_t step, const std::string& tag, const std::string& text);
  /// Of finite values, in 30 buckets of equal width.
  void histogram(int64_t step, const std::string& tag, std::span<const float> values);
  void image(int64_t step, const std::string& tag, const std::string& png, int64_t width, int64_t height);
  /// What was written can be read by others.
  void flush() { file_.flush(); }

 private:
  void record(const std::string& event);
  void summary(int64_t step, const std::string& value);
  FileWriter file_;
};

}  // namespace lotformer
