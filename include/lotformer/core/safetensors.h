// SPDX-License-Identifier: MIT
// The safetensors format without torch: 8 bytes little-endian header length, JSON header (name -> dtype,
// shape, data_offsets), raw little-endian row-major data. Readable by the Python package of that name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"

namespace lotformer {

struct TensorView {
  /// "F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", ...
  std::string dtype;
  std::vector<int64_t> shape;
  /// Size = product(shape) * size of dtype, checked; not aligned: copy before use.
  std::span<const uint8_t> data;
};

/// What a file holds; the views point into the bytes that were parsed.
struct SafetensorsContent {
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::string> metadata;
};

/// Parses a whole file held in memory. Trusts nothing: header length against size, JSON nesting and
/// duplicates, dtypes, shape products and that the tensors cover the data without overlap or gap are checked.
/// Error(kind) begins with `name`.
SafetensorsContent parse_safetensors(std::span<const uint8_t> bytes, const std::string& name, ErrorKind kind);

/// A mapped file whose header has been checked completely (see parse_safetensors).
class SafetensorsFile {
 public:
  SafetensorsFile(const std::filesystem::path& path, ErrorKind kind);
  const std::map<std::string, TensorView>& tensors() const { return content_.tensors; }
  /// Error(kind) that names the file when the tensor is absent.
  const TensorView& tensor(const std::string& name) const;
  bool contains(const std::string& name) const { return content_.tensors.count(name) != 0; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }

 private:
  std::filesystem::path path_;
  ErrorKind kind_;
  MappedFile file_;
  SafetensorsContent content_;
};

/// Bytes of one element; 0 for an unknown dtype.
int64_t safetensors_element_size(const std::string& dtype);

/// Length prefix and header of a file that holds these tensors in this order; their data follows, each
/// beginning where the one before ends, the first at a multiple of 8 (blanks pad the header). Error(internal)
/// for an unknown dtype, a size that does not match the shape or a name given twice.
std::string safetensors_header(const std::vector<std::pair<std::string, TensorView>>& tensors,
                               const std::map<std::string, std::string>& metadata);

/// Header and data. Errors: those of safetensors_header; disk.
void write_safetensors(FileWriter& writer, const std::vector<std::pair<std::string, TensorView>>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace lotformer
