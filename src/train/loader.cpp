// SPDX-License-Identifier: MIT
#include "lotformer/train/loader.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace lotformer {

Batch make_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to,
                 c10::Device device) {
  const int64_t sequences = dataset.sequences();
  const auto batch = static_cast<int64_t>(rows.size());
  int64_t longest = pad_to;
  for (const int64_t row : rows) {
    for (int64_t s = 0; s < sequences; ++s) longest = std::max(longest, dataset.length(row, s));
  }
  const auto options = at::TensorOptions().dtype(at::kLong).pinned_memory(device.is_cuda());
  Batch out{at::zeros({sequences, batch, longest}, options),
            at::empty({sequences, batch}, options),
            at::empty({batch}, options),
            {}};
  int64_t* ids = out.ids.data_ptr<int64_t>();
  const int64_t offset = dataset.id_offset();
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t b = 0; b < batch; ++b) {
      const auto bytes = dataset.bytes(rows[static_cast<size_t>(b)], s);
      int64_t* target = ids + (s * batch + b) * longest;
      std::transform(bytes.begin(), bytes.end(), target, [offset](uint8_t byte) { return byte + offset; });
      out.lengths.data_ptr<int64_t>()[s * batch + b] = static_cast<int64_t>(bytes.size());
    }
  }
  for (int64_t b = 0; b < batch; ++b)
    out.labels.data_ptr<int64_t>()[b] = dataset.label(rows[static_cast<size_t>(b)]);
  if (device.is_cpu()) return out;
  const auto move = [device](const at::Tensor& t) { return t.to(device, /*non_blocking=*/true); };
  return {move(out.ids), move(out.lengths), move(out.labels), {}};
}

int64_t count_tokens(const data::Dataset& dataset, std::span<const int64_t> rows) {
  int64_t tokens = 0;
  for (const int64_t row : rows) {
    for (int64_t s = 0; s < dataset.sequences(); ++s) tokens += dataset.length(row, s);
  }
  return tokens;
}

}  // namespace lotformer
