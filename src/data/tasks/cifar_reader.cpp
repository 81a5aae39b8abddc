// SPDX-License-Identifier: MIT
#include "data/tasks/cifar_reader.h"

#include <algorithm>
#include <string_view>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data::cifar {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNamesFile = "batches.meta.txt";

bool is_class_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == ' ';
  };
  return !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), good);
}

}  // namespace

uint8_t grey(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>(511U * (2989U * red + 5870U * green + 1140U * blue) / 5100000U);
}

uint8_t grey_pil(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>((19595U * red + 38470U * green + 7471U * blue + 32768U) >> 16);
}

int64_t count_records(uint64_t bytes, const std::string& name, bool strict) {
  if (bytes == 0) throw DataError::at_file(name, "file is empty (0 bytes)");
  if (bytes % kRecordBytes != 0) {
    throw DataError::at_file(name, concat("has ", bytes, " bytes, not a multiple of ", kRecordBytes,
                                          " (cut short, or not the binary version of CIFAR-10?)"));
  }
  const auto records = static_cast<int64_t>(bytes / kRecordBytes);
  if (strict && records != kOfficialRecords) {
    throw DataError::at_file(name, concat("has ", records, " records, ", kOfficialRecords,
                                          " wanted (data.strict_counts=false takes any number)"));
  }
  return records;
}

void parse_records(std::span<const uint8_t> bytes, int64_t first, const std::string& name,
                   const std::function<void(const Record&)>& take) {
  for (int64_t record = 0; !bytes.empty(); ++record, bytes = bytes.subspan(kRecordBytes)) {
    if (bytes[0] > 9) {
      throw DataError::at_record(name, first + record,
                                 concat("label ", static_cast<int>(bytes[0]), " outside 0..9"));
    }
    take({bytes[0], bytes.subspan(1, kRecordBytes - 1)});
  }
}

void read_records(SourceFile file, bool strict, const std::function<void(const Record&)>& take) {
  const std::string& name = file.name();
  const int64_t records = count_records(static_cast<uint64_t>(file.size()), name, strict);
  constexpr int64_t kAtOnce = 256;
  std::vector<uint8_t> buffer(kAtOnce * kRecordBytes);
  for (int64_t done = 0; done < records; done += kAtOnce) {
    const auto bytes = static_cast<size_t>(std::min(kAtOnce, records - done) * kRecordBytes);
    if (file.read(buffer.data(), bytes) != bytes)
      throw DataError::at_file(name, "it changed while it was read");
    parse_records(std::span(buffer).first(bytes), done, name, take);
  }
}

std::vector<std::string> class_names(const fs::path& directory, const std::string& prefix, Links links) {
  std::error_code code;
  if (!fs::exists(directory / kNamesFile, code)) {
    return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  }
  std::string text;
  FileFence(directory, prefix, links).read(kNamesFile, 4096, text);
  std::vector<std::string> names;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty()) names.emplace_back(line);
  }
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  const bool different = std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
  if (names.size() != 10 || !different || !std::all_of(names.begin(), names.end(), is_class_name))
    throw DataError::at_file(prefix + kNamesFile, "ten different class names wanted, one a line");
  return names;
}

}  // namespace lotformer::data::cifar
