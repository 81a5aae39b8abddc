// SPDX-License-Identifier: MIT
#include "diagnostics.h"

#include <algorithm>
#include <tuple>

#include "lotformer/core/text.h"

namespace lotformer::config {
namespace {

constexpr size_t kMaxPrinted = 100;
constexpr size_t kMaxWord = 64;  // a longer one is shown cut, in quotes

}  // namespace

bool before(const Place& a, const Place& b) {
  return std::tie(a.source, a.line, a.column) < std::tie(b.source, b.line, b.column);
}

int Diagnostics::add_source(std::string name, ErrorKind kind) {
  sources_.push_back({std::move(name), kind});
  return static_cast<int>(sources_.size()) - 1;
}

void Diagnostics::add(const Place& place, const std::string& key, const std::string& message) {
  errors_.push_back({place, key.empty() ? message : key + ": " + message});
}

std::string Diagnostics::describe(const Place& place) const {
  std::string text = source_name(place.source);
  if (place.line > 0) text += concat(":", place.line, ":", place.column);
  return text;
}

void Diagnostics::throw_if_any() const {
  if (errors_.empty()) return;
  std::vector<Message> sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Message& a, const Message& b) { return before(a.place, b.place); });
  std::vector<std::string> lines;
  for (const Message& error : sorted) {
    std::string line = describe(error.place) + ": " + error.text;
    // An aliased section is read once for each use and would repeat its errors.
    if (lines.empty() || lines.back() != line) lines.push_back(std::move(line));
  }
  if (lines.size() > kMaxPrinted) {
    const size_t more = lines.size() - kMaxPrinted;
    lines.resize(kMaxPrinted);
    lines.push_back(concat("... and ", more, " more errors"));
  }
  const auto first = static_cast<size_t>(sorted.front().place.source);
  throw Error(sources_[first].kind, join(lines, "\n"));
}

std::string display_key(const std::string& key) {
  const bool plain = !key.empty() && key.size() <= kMaxWord &&
                     std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  return plain ? key : quoted(key);
}

}  // namespace lotformer::config
