// SPDX-License-Identifier: MIT
#include "data/tasks/listops_vocabulary.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "lotformer/core/text.h"

namespace lotformer::data::listops {
Encoding::Encoding(const DataOptions& options)
    : alnum_(options.tokenizer == "alnum"),
      s4_(options.vocab == "s4"),
      append_eos_(options.append_eos || s4_),
      max_length_(kLength.longest(options)) {
  std::iota(id_of_.begin(), id_of_.end(), uint8_t{0});
  if (alnum_) {  // the published tokeniser keeps letters and digits: close brackets are lost, digits move
                 // down by one
    id_of_[kClose] = kDropped;
    for (size_t token = kDigit0; token < kTokens; ++token) --id_of_[token];
  }
  const auto plain = static_cast<uint8_t>(alnum_ ? kTokens - 1 : kTokens);
  eos_ = s4_ ? 2 : plain;
  vocab_size_ = append_eos_ ? plain + 1 : plain;  // s4: pad, unknown, end and the 15 tokens, 18 as well
}

void Encoding::number_by_frequency(std::span<const uint64_t> counts) {
  std::vector<uint8_t> order(kUnknown - kMin);
  std::iota(order.begin(), order.end(), static_cast<uint8_t>(kMin));
  const auto text = [](uint8_t token) { return token == kClose ? std::string_view("X") : kTokenText[token]; };
  std::sort(order.begin(), order.end(), [&](uint8_t a, uint8_t b) {
    return counts[a] != counts[b] ? counts[a] > counts[b] : text(a) < text(b);
  });
  for (size_t rank = 0; rank < order.size(); ++rank) id_of_[order[rank]] = static_cast<uint8_t>(3 + rank);
}

std::vector<std::string> Encoding::tokens() const {
  std::vector<std::string> result(static_cast<size_t>(vocab_size_));
  if (s4_) result[0] = kTokenText[kPad], result[1] = kTokenText[kUnknown];
  const size_t begin = s4_ ? kMin : kPad, end = s4_ ? size_t{kUnknown} : kTokens;
  for (size_t token = begin; token < end; ++token) {
    if (id_of_[token] != kDropped) result[id_of_[token]] = kTokenText[token];
  }
  if (append_eos_) result[eos_] = "<end>";
  return result;
}

bool Encoding::encode(std::span<const uint8_t> tokens, std::vector<uint8_t>& ids) const {
  ids.clear();
  const auto room = static_cast<size_t>(max_length_ - (append_eos_ ? 1 : 0));
  bool cut = false;
  for (const uint8_t token : tokens) {
    const uint8_t id = id_of_[token];
    if (id == kDropped) continue;
    if (ids.size() == room) {
      cut = true;
      break;
    }
    ids.push_back(id);
  }
  if (append_eos_) ids.push_back(eos_);
  return cut;
}

std::string Encoding::name() const {
  return concat(alnum_ ? "alnum" : s4_ ? "s4" : "default", append_eos_ ? "-eos-" : "-", max_length_);
}

std::string Encoding::numbering() const {
  std::string text;
  for (const uint8_t id : id_of_) text += concat(static_cast<int>(id), ",");
  return text;
}

}  // namespace lotformer::data::listops
