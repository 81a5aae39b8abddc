// SPDX-License-Identifier: MIT
#include "loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace lotformer {
namespace {

int64_t longest_sequence(const data::Dataset& dataset, std::span<const int64_t> rows) {
  int64_t longest = 0;
  for (const int64_t row : rows) {
    for (int64_t s = 0; s < dataset.sequences(); ++s) longest = std::max(longest, dataset.length(row, s));
  }
  return longest;
}

/// `mask_zero_pixels`: the places of the pixels that are not black, then those of the black ones, as far as
/// there is room. A black image keeps its first pixel as its only real token, because a mean over none is no
/// number.
void write_ink_first(std::span<const uint8_t> pixels, std::span<int64_t> ids, std::span<int64_t> positions) {
  size_t at = 0;
  for (const bool ink : {true, false}) {
    for (size_t place = 0; place < pixels.size() && at < ids.size(); ++place) {
      if ((pixels[place] != 0) != ink) continue;
      ids[at] = pixels[place];
      positions[at++] = static_cast<int64_t>(place);
    }
  }
  for (; at < ids.size(); ++at) {  // padding beyond the image
    ids[at] = 0;
    positions[at] = static_cast<int64_t>(at);
  }
}

}  // namespace

int64_t batch_width(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to) {
  return std::max(pad_to, longest_sequence(dataset, rows));
}

Batch make_host_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t width,
                      bool pinned) {
  const int64_t sequences = dataset.sequences();
  const auto batch = static_cast<int64_t>(rows.size());
  const bool masked = dataset.masks_zeros();
  const auto options = at::TensorOptions().dtype(at::kLong).pinned_memory(pinned);
  Batch out;
  out.ids = at::empty({sequences, batch, width}, options);
  out.labels = at::empty({batch}, options);
  const int64_t fixed = dataset.fixed_bytes();
  if (masked || fixed == 0 || fixed != width) out.lengths = at::empty({sequences, batch}, options);
  if (masked) out.positions = at::empty({sequences, batch, width}, options);
  const int64_t offset = dataset.id_offset();
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t row = rows[static_cast<size_t>(b)], place = s * batch + b;
      const auto bytes = dataset.bytes(row, s);
      const std::span ids(out.ids.data_ptr<int64_t>() + place * width, static_cast<size_t>(width));
      if (masked) {
        write_ink_first(bytes, ids, {out.positions.data_ptr<int64_t>() + place * width, ids.size()});
      } else {
        const auto end = std::transform(bytes.begin(), bytes.end(), ids.begin(),
                                        [offset](uint8_t byte) { return byte + offset; });
        std::fill(end, ids.end(), 0);
      }
      if (out.lengths.defined()) out.lengths.data_ptr<int64_t>()[place] = dataset.length(row, s);
    }
  }
  for (int64_t b = 0; b < batch; ++b)
    out.labels.data_ptr<int64_t>()[b] = dataset.label(rows[static_cast<size_t>(b)]);
  return out;
}

Batch to_device(const Batch& batch, c10::Device device) {
  if (device.is_cpu()) return batch;
  const auto move = [device](const at::Tensor& t) {
    return t.defined() ? t.to(device, /*non_blocking=*/true) : t;
  };
  return {move(batch.ids), move(batch.lengths), move(batch.labels), move(batch.positions), batch.token_slots};
}

Batch make_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to,
                 c10::Device device) {
  return to_device(make_host_batch(dataset, rows, batch_width(dataset, rows, pad_to), device.is_cuda()),
                   device);
}

int64_t count_tokens(const data::Dataset& dataset, std::span<const int64_t> rows) {
  int64_t tokens = 0;
  for (const int64_t row : rows) {
    for (int64_t s = 0; s < dataset.sequences(); ++s) tokens += dataset.length(row, s);
  }
  return tokens;
}

}  // namespace lotformer
