// SPDX-License-Identifier: MIT
#include "lotformer/data/dataset.h"

#include "data/cache.h"

namespace lotformer::data {

int64_t Dataset::size() const {
  return static_cast<int64_t>(impl_->footer.rows);
}
int64_t Dataset::sequences() const {
  return static_cast<int64_t>(impl_->footer.sequences);
}
int64_t Dataset::id_offset() const {
  return static_cast<int64_t>(impl_->footer.id_offset);
}
int64_t Dataset::cut_examples() const {
  return static_cast<int64_t>(impl_->footer.cut_rows);
}
int64_t Dataset::label(int64_t row) const {
  return impl_->labels[static_cast<size_t>(row)];
}

int64_t Dataset::length(int64_t row, int64_t sequence) const {
  return static_cast<int64_t>(bytes(row, sequence).size());
}

std::span<const uint8_t> Dataset::bytes(int64_t row, int64_t sequence) const {
  const auto index = static_cast<size_t>(row * sequences() + sequence);
  const uint64_t begin = impl_->offsets[index];
  return impl_->tokens.subspan(begin, impl_->offsets[index + 1] - begin);
}

int64_t Dataset::property(int64_t row, int64_t index) const {
  return impl_->properties[static_cast<size_t>(row) * impl_->footer.properties + static_cast<size_t>(index)];
}

std::string Dataset::fingerprint() const {
  return {impl_->footer.content.data(), impl_->footer.content.size()};
}

}  // namespace lotformer::data
