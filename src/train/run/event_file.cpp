// SPDX-License-Identifier: MIT
#include "event_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

static_assert(std::endian::native == std::endian::little, "fixed numbers are written as they lie in memory");

/// A message in wire format: tag, then varint, 8 bytes, 4 bytes, or a length and bytes.
class Message {
 public:
  Message& varint(int field, uint64_t value) {
    tag(field, 0);
    raw_varint(value);
    return *this;
  }
  Message& number(int field, double value) {
    tag(field, 1);
    return append(value);
  }
  Message& number(int field, float value) {
    tag(field, 5);
    return append(value);
  }
  Message& bytes(int field, std::string_view value) {
    tag(field, 2);
    raw_varint(value.size());
    bytes_ += value;
    return *this;
  }
  /// Packed.
  Message& numbers(int field, const std::vector<double>& values) {
    return bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
  }
  const std::string& str() const { return bytes_; }

 private:
  void tag(int field, int type) { raw_varint(static_cast<uint64_t>(field << 3 | type)); }
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  template <class T>
  Message& append(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string bytes_;
};

std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}

/// Checksums of checksums are weak, so the format turns and shifts them.
uint32_t masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

template <class T>
std::string_view memory_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Message event_at(int64_t step) {
  Message event;
  event.number(1, seconds_since_1970()).varint(2, static_cast<uint64_t>(step));
  return event;
}

std::filesystem::path new_name(const std::filesystem::path& folder) {
  lotformer::create_directories(folder);
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  for (int number = 0;; ++number) {
    const auto path = folder / concat("events.out.tfevents.", static_cast<int64_t>(seconds_since_1970()), ".",
                                      host, ".", ::getpid(), ".", number);
    if (!std::filesystem::exists(std::filesystem::symlink_status(path))) return path;
  }
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t step)
    : file_(new_name(folder), FileWriter::Open::fresh) {
  record(Message().number(1, seconds_since_1970()).bytes(3, "brain.Event:2").str());
  constexpr int kSessionLog = 7, kStatus = 1, kStart = 1;
  record(event_at(step).bytes(kSessionLog, Message().varint(kStatus, kStart).str()).str());
  flush();
}

void EventFile::record(const std::string& event) {
  const uint64_t length = event.size();
  const uint32_t length_crc = masked(crc32c(memory_of(length))), crc = masked(crc32c(event));
  file_.write(memory_of(length));
  file_.write(memory_of(length_crc));
  file_.write(event);
  file_.write(memory_of(crc));
}

/// `value`: a Summary.Value.
void EventFile::summary(int64_t step, const std::string& value) {
  record(event_at(step).bytes(5, Message().bytes(1, value).str()).str());
}

void EventFile::scalar(int64_t step, const std::string& tag, double value) {
  summary(step, Message().bytes(1, tag).number(2, static_cast<float>(value)).str());
}

void EventFile::text(int64_t step, const std::string& tag, const std::string& text) {
  constexpr int kString = 7, kTensorClass = 2;
  const std::string shape = Message().bytes(2, Message().varint(1, 1).str()).str();
  const std::string tensor = Message().varint(1, kString).bytes(2, shape).bytes(8, text).str();
  const std::string metadata =
      Message().bytes(1, Message().bytes(1, "text").str()).varint(4, kTensorClass).str();
  summary(step, Message().bytes(1, tag + "/text_summary").bytes(9, metadata).bytes(8, tensor).str());
}

void EventFile::histogram(int64_t step, const std::string& tag, std::span<const float> values) {
  constexpr size_t kBuckets = 30;
  std::vector<float> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](float v) { return std::isfinite(v); });
  if (finite.empty()) return;
  const auto [least, most] = std::minmax_element(finite.begin(), finite.end());
  const double low = *least, width = std::max((static_cast<double>(*most) - low) / kBuckets, 1e-12);
  std::vector<double> limits(kBuckets), counts(kBuckets, 0.0);
  double sum = 0, squares = 0;
  for (size_t b = 0; b < kBuckets; ++b) limits[b] = low + width * static_cast<double>(b + 1);
  for (const float value : finite) {
    const auto bucket = static_cast<size_t>((static_cast<double>(value) - low) / width);
    counts[std::min(bucket, kBuckets - 1)] += 1;
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const std::string histogram = Message()
                                    .number(1, low)
                                    .number(2, static_cast<double>(*most))
                                    .number(3, static_cast<double>(finite.size()))
                                    .number(4, sum)
                                    .number(5, squares)
                                    .numbers(6, limits)
                                    .numbers(7, counts)
                                    .str();
  summary(step, Message().bytes(1, tag).bytes(5, histogram).str());
}

void EventFile::image(int64_t step, const std::string& tag, const std::string& png, int64_t width,
                      int64_t height) {
  constexpr int kGrey = 1;
  const std::string image = Message()
                                .varint(1, static_cast<uint64_t>(height))
                                .varint(2, static_cast<uint64_t>(width))
                                .varint(3, kGrey)
                                .bytes(4, png)
                                .str();
  summary(step, Message().bytes(1, tag).bytes(4, image).str());
}

}  // namespace lotformer
