// SPDX-License-Identifier: MIT
#include "lotformer/data/dataset.h"

#include <algorithm>

#include "data/cache.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

int64_t Dataset::size() const {
  return static_cast<int64_t>(impl_->whole ? impl_->cache->footer.rows : impl_->rows.size());
}
int64_t Dataset::sequences() const {
  return static_cast<int64_t>(impl_->cache->footer.sequences);
}
int64_t Dataset::id_offset() const {
  return static_cast<int64_t>(impl_->cache->footer.id_offset);
}
bool Dataset::masks_zeros() const {
  return impl_->mask_zeros;
}
int64_t Dataset::fixed_bytes() const {
  return static_cast<int64_t>(impl_->cache->footer.row_bytes);
}
int64_t Dataset::cut_examples() const {
  return impl_->cut_rows;
}
std::span<const uint8_t> Dataset::storage() const {
  return impl_->cache->documents;
}
std::string Dataset::fingerprint() const {
  return impl_->fingerprint;
}

uint64_t Dataset::cache_row(int64_t row) const {
  const auto index = static_cast<size_t>(row);
  return impl_->whole ? index : impl_->rows[index];
}

int64_t Dataset::label(int64_t row) const {
  return impl_->cache->labels[cache_row(row)];
}

int64_t Dataset::length(int64_t row, int64_t sequence) const {
  if (impl_->mask_zeros) return std::max<int64_t>(1, property(row, 0));
  return static_cast<int64_t>(bytes(row, sequence).size());
}

int64_t Dataset::begin(int64_t row, int64_t sequence) const {
  const Cache& cache = *impl_->cache;
  return static_cast<int64_t>(
      cache.begin_of(cache.document_of(cache_row(row), static_cast<uint64_t>(sequence))));
}

std::span<const uint8_t> Dataset::bytes(int64_t row, int64_t sequence) const {
  const Cache& cache = *impl_->cache;
  const uint64_t document = cache.document_of(cache_row(row), static_cast<uint64_t>(sequence));
  const uint64_t begin = cache.begin_of(document);
  return cache.documents.subspan(begin, cache.begin_of(document + 1) - begin);
}

int64_t Dataset::property(int64_t row, int64_t index) const {
  const Cache& cache = *impl_->cache;
  return cache.properties[cache_row(row) * cache.footer.properties + static_cast<size_t>(index)];
}

Dataset all_rows(std::shared_ptr<const Cache> cache) {
  auto impl = std::make_shared<Dataset::Impl>();
  impl->cut_rows = static_cast<int64_t>(cache->footer.cut_rows);
  impl->fingerprint.assign(cache->footer.content.data(), cache->footer.content.size());
  impl->cache = std::move(cache);
  return Dataset(std::move(impl));
}

Dataset some_rows(std::shared_ptr<const Cache> cache, std::vector<uint32_t> rows, int64_t cut_rows) {
  auto impl = std::make_shared<Dataset::Impl>(all_rows(std::move(cache)).impl());
  Hasher hasher;
  hasher.update(impl->fingerprint);
  hasher.update(rows.data(), rows.size() * sizeof(uint32_t));
  impl->fingerprint = hasher.digest();
  impl->whole = false;
  impl->rows = std::move(rows);
  impl->cut_rows = cut_rows;
  return Dataset(std::move(impl));
}

Dataset with_masked_zeros(const Dataset& dataset) {
  auto impl = std::make_shared<Dataset::Impl>(dataset.impl());
  impl->mask_zeros = true;
  impl->fingerprint = hash_bytes(concat("zeros masked ", impl->fingerprint));
  return Dataset(std::move(impl));
}

}  // namespace lotformer::data
