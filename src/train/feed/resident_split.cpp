// SPDX-License-Identifier: MIT
#include "resident_split.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "lotformer/train/device_memory.h"

namespace lotformer {
namespace {

constexpr int64_t kAutoLimit = int64_t{2} << 30;
constexpr int64_t kAutoShare = 8;                // of the free memory at most 1 / this
constexpr int64_t kStaging = int64_t{16} << 20;  // host bytes a copy to the device goes through

struct Document {
  int64_t begin, bytes;
  bool operator<(const Document& other) const { return begin < other.begin; }
};

/// What the rows of the split use of the storage, each piece once, in the order of the storage. Empty
/// documents are left out.
std::vector<Document> documents_of(const data::Dataset& dataset) {
  std::vector<Document> documents;
  documents.reserve(static_cast<size_t>(dataset.size() * dataset.sequences()));
  for (int64_t row = 0; row < dataset.size(); ++row) {
    for (int64_t s = 0; s < dataset.sequences(); ++s) {
      const auto bytes = static_cast<int64_t>(dataset.bytes(row, s).size());
      if (bytes > 0) documents.push_back({dataset.begin(row, s), bytes});
    }
  }
  std::sort(documents.begin(), documents.end());
  const auto same = [](const Document& a, const Document& b) { return a.begin == b.begin; };
  documents.erase(std::unique(documents.begin(), documents.end(), same), documents.end());
  return documents;
}

int64_t total_bytes(const std::vector<Document>& documents) {
  int64_t total = 0;
  for (const Document& document : documents) total += document.bytes;
  return total;
}

}  // namespace

int64_t resident_bytes(const data::Dataset& dataset) {
  return total_bytes(documents_of(dataset)) + 8 * dataset.size() * (2 * dataset.sequences() + 1);
}

bool wants_residence(const std::string& on_device, const data::Dataset& dataset, c10::Device device) {
  if (on_device != "auto") return on_device == "true";
  if (!device.is_cuda()) return false;
  const int64_t bytes = resident_bytes(dataset);
  return bytes <= kAutoLimit && bytes <= cuda_free_bytes(device.index()) / kAutoShare;
}

ResidentSplit::ResidentSplit(const data::Dataset& dataset, c10::Device device)
    : device_(device),
      id_offset_(dataset.id_offset()),
      fixed_bytes_(dataset.fixed_bytes()),
      masked_(dataset.masks_zeros()) {
  const int64_t rows = dataset.size();
  lengths_ = at::empty({dataset.sequences(), rows}, at::kLong);
  labels_ = at::empty({rows}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t s = 0; s < dataset.sequences(); ++s)
      lengths_.data_ptr<int64_t>()[s * rows + row] = dataset.length(row, s);
    labels_.data_ptr<int64_t>()[row] = dataset.label(row);
  }
  lengths_ = lengths_.to(device);
  labels_ = labels_.to(device);
  copy_documents(dataset);
}

void ResidentSplit::copy_documents(const data::Dataset& dataset) {
  const std::vector<Document> documents = documents_of(dataset);
  const int64_t total = total_bytes(documents), rows = dataset.size();
  bytes_ = at::empty({std::max<int64_t>(1, total)}, at::TensorOptions().dtype(at::kByte).device(device_));
  const at::Tensor staging = at::empty({std::clamp<int64_t>(total, 1, kStaging)}, at::kByte);
  int64_t written = 0, waiting = 0;
  const auto flush = [&] {
    bytes_.narrow(0, written, waiting).copy_(staging.narrow(0, 0, waiting));
    written += waiting;
    waiting = 0;
  };
  std::vector<int64_t> places;  // of the documents in bytes_
  for (const Document& document : documents) {
    places.push_back(written + waiting);
    for (int64_t done = 0; done < document.bytes;) {
      if (waiting == staging.numel()) flush();
      const int64_t piece = std::min(document.bytes - done, staging.numel() - waiting);
      std::memcpy(staging.data_ptr<uint8_t>() + waiting, dataset.storage().data() + document.begin + done,
                  static_cast<size_t>(piece));
      waiting += piece;
      done += piece;
    }
  }
  flush();
  begins_ = at::zeros({dataset.sequences(), rows}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t s = 0; s < dataset.sequences(); ++s) {
      if (dataset.bytes(row, s).empty()) continue;
      const auto it =
          std::lower_bound(documents.begin(), documents.end(), Document{dataset.begin(row, s), 0});
      begins_.data_ptr<int64_t>()[s * rows + row] = places[static_cast<size_t>(it - documents.begin())];
    }
  }
  begins_ = begins_.to(device_);
}

int64_t ResidentSplit::bytes() const {
  size_t bytes = 0;
  for (const at::Tensor& tensor : {bytes_, begins_, lengths_, labels_}) bytes += tensor.nbytes();
  return static_cast<int64_t>(bytes);
}

Batch ResidentSplit::gather(const at::Tensor& rows, int64_t width) const {
  Batch batch;
  batch.labels = labels_.index_select(0, rows);
  if (masked_ || fixed_bytes_ == 0 || fixed_bytes_ != width) batch.lengths = lengths_.index_select(1, rows);
  if (masked_) {
    gather_ink_first(rows, batch, width);
  } else {
    gather_tokens(rows, batch, width);
  }
  return batch;
}

void ResidentSplit::gather_tokens(const at::Tensor& rows, Batch& batch, int64_t width) const {
  const at::Tensor place = at::arange(width, rows.options());
  at::Tensor index = begins_.index_select(1, rows).unsqueeze(2) + place;  // [S, B, N]
  at::Tensor real;
  if (batch.lengths.defined()) {
    real = place < batch.lengths.unsqueeze(2);
    index = index.masked_fill(real.logical_not(), 0);  // the last document ends where the bytes do
  }
  const at::Tensor ids =
      bytes_.index_select(0, index.flatten()).view(index.sizes()).to(at::kLong) + id_offset_;
  batch.ids = real.defined() ? ids.masked_fill(real.logical_not(), 0) : ids;
}

/// Black pixels keep their order behind the others: the place of a pixel in the new order is the number of
/// its kind before it, and for a black one all others. A permutation, so scattering is exact.
void ResidentSplit::gather_ink_first(const at::Tensor& rows, Batch& batch, int64_t width) const {
  const at::Tensor place = at::arange(fixed_bytes_, rows.options());
  const at::Tensor index = begins_.index_select(1, rows).unsqueeze(2) + place;  // [S, B, pixels]
  const at::Tensor pixels = bytes_.index_select(0, index.flatten()).view(index.sizes()).to(at::kLong);
  const at::Tensor ink = pixels.ne(0);
  const at::Tensor ink_before = ink.cumsum(2, at::kLong);  // itself included
  const at::Tensor all_ink = ink_before.narrow(2, fixed_bytes_ - 1, 1);
  const at::Tensor target = at::where(ink, ink_before - 1, all_ink + place - ink_before);
  const at::Tensor source = at::zeros_like(index).scatter_(2, target, place.expand_as(index));
  const int64_t shown = std::min(width, fixed_bytes_);
  const at::Tensor shown_places = source.narrow(2, 0, shown);
  std::vector<int64_t> shape = index.sizes().vec();
  shape[2] = width;
  batch.positions = at::arange(width, rows.options()).expand(shape).contiguous();
  batch.positions.narrow(2, 0, shown).copy_(shown_places);
  batch.ids = at::zeros(shape, rows.options());
  batch.ids.narrow(2, 0, shown).copy_(pixels.gather(2, shown_places));
}

}  // namespace lotformer
