// SPDX-License-Identifier: MIT
// CIFAR-10 in its binary form (data contract, section 5).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/tasks/source_files.h"

namespace lotformer::data::cifar {

inline constexpr int64_t kPixels = 1024, kRecordBytes = 1 + 3 * kPixels, kOfficialRecords = 10000;

struct Record {
  int label = 0;
  /// 1024 red, 1024 green, 1024 blue, each row by row.
  std::span<const uint8_t> colours;
};

/// Exact integer form of Google's conversion: 0.2989 R + 0.5870 G + 0.1140 B on [0, 1], times 255.5,
/// truncated.
uint8_t grey(uint8_t red, uint8_t green, uint8_t blue);
/// The Python Imaging Library's, which the S4 family uses.
uint8_t grey_pil(uint8_t red, uint8_t green, uint8_t blue);

/// The number of records in a file of `bytes` bytes. DataError (file `name`) when it is empty, no multiple of
/// 3073, or with `strict` not the official size.
int64_t count_records(uint64_t bytes, const std::string& name, bool strict);

/// Whole records in `bytes`, the first of which has number `first` in its file. DataError with the record for
/// a label above 9.
void parse_records(std::span<const uint8_t> bytes, int64_t first, const std::string& name,
                   const std::function<void(const Record&)>& take);

/// All records of a file, in bounded memory.
void read_records(SourceFile file, bool strict, const std::function<void(const Record&)>& take);

/// The ten names of `batches.meta.txt`, of the official file when there is none. DataError when they are not
/// ten different words.
std::vector<std::string> class_names(const std::filesystem::path& directory, const std::string& prefix,
                                     Links links = Links::inside);

}  // namespace lotformer::data::cifar
