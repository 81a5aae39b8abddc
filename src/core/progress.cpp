// SPDX-License-Identifier: MIT
#include "lotformer/core/progress.h"

#include <utility>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

constexpr std::chrono::milliseconds kSilence{2000};

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)), unit_(std::move(unit)), total_(total) {}

void Progress::update(int64_t done) {
  const auto elapsed = Clock::now() - start_;
  if (elapsed < kSilence || !line_.due()) return;
  line_.show(text(done, std::chrono::duration<double>(elapsed).count()));
}

std::string Progress::text(int64_t done, double elapsed) const {
  const bool bytes = unit_ == "bytes";
  const std::string unit = bytes ? "" : " " + unit_;
  const auto amount = [bytes](int64_t n) { return bytes ? format_bytes(n) : format_count(n); };
  if (total_ <= 0 || done > total_)  // more than was expected: nobody knows how much is left
    return concat(label_, ": ", amount(done), unit);
  const double remaining =
      done > 0 ? elapsed * static_cast<double>(total_ - done) / static_cast<double>(done) : -1;
  const int64_t percent = 100 * done / total_;
  return concat(label_, ": ", percent, " % (", amount(done), " of ", amount(total_), unit, "), ",
                format_duration(remaining), " left");
}

}  // namespace lotformer
