// SPDX-License-Identifier: MIT
// A split that lives on the device as bytes, so that a batch costs one upload of row numbers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "lotformer/data/dataset.h"
#include "lotformer/model/batch.h"

namespace lotformer {

/// Device bytes a resident copy takes: the documents of the split, each once, and 8 bytes for every begin,
/// length and label.
int64_t resident_bytes(const data::Dataset& dataset);

/// Whether `data.on_device` (auto | true | false) asks for a resident copy. auto: on CUDA, when it is at most
/// 2 GiB and at most an eighth of the memory that is free.
bool wants_residence(const std::string& on_device, const data::Dataset& dataset, c10::Device device);

class ResidentSplit {
 public:
  ResidentSplit(const data::Dataset& dataset, c10::Device device);

  /// The rows as make_batch gives them, bit for bit. `rows` int64 [B] on the device; `width` is that of the
  /// batch: at least its longest sequence, which the caller knows without asking the device.
  Batch gather(const at::Tensor& rows, int64_t width) const;

  /// Bytes it takes on the device.
  int64_t bytes() const;

 private:
  void copy_documents(const data::Dataset& dataset);
  void gather_tokens(const at::Tensor& rows, Batch& batch, int64_t width) const;
  void gather_ink_first(const at::Tensor& rows, Batch& batch, int64_t width) const;

  c10::Device device_;
  int64_t id_offset_, fixed_bytes_;
  bool masked_;
  at::Tensor bytes_;             // uint8 [bytes of the documents, at least 1]
  at::Tensor begins_, lengths_;  // int64 [sequences, rows]
  at::Tensor labels_;            // int64 [rows]
};

}  // namespace lotformer
