// SPDX-License-Identifier: MIT
// Tensors of torch in safetensors files (format: core/safetensors.h). Dtypes: float64, float32, float16,
// bfloat16, int64, int32, int16, int8, uint8, bool.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lotformer/core/error.h"

namespace lotformer {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
using TensorMap = std::map<std::string, at::Tensor>;

/// Size and content of a file as it was meant to be written.
struct FileDigest {
  int64_t bytes = 0;
  /// 32 lower-case hex digits.
  std::string xxh3_128;
};

/// Writes the values, whatever their device, strides and gradients, and makes the file durable (fsync).
/// Larger elements come first (so each tensor is aligned to its element), equal ones in the order given.
/// Equal values give equal bytes. The digest is taken of the memory, not of the file. Errors: disk; internal
/// for a name given twice, an undefined tensor or another dtype.
FileDigest write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                         const std::map<std::string, std::string>& metadata = {});

/// All tensors of a file, on the CPU, contiguous, owning their memory. Error(kind) names the file and what is
/// wrong.
TensorMap read_tensors(const std::filesystem::path& path, ErrorKind kind);

/// The same from the bytes of a file; `name` begins the message of an error.
TensorMap parse_tensors(std::span<const uint8_t> bytes, const std::string& name, ErrorKind kind);

}  // namespace lotformer
