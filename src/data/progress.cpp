// SPDX-License-Identifier: MIT
#include "data/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

constexpr auto kSilence = std::chrono::milliseconds(2000);
constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kPlainLine = std::chrono::milliseconds(5000);

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      next_(start_ + kSilence) {}

Progress::~Progress() {
  if (drawn_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(int64_t done) {
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? kRedraw : kPlainLine);
  print(done, std::chrono::duration<double>(now - start_).count());
}

void Progress::print(int64_t done, double elapsed) {
  const auto amount = [this](int64_t n) { return unit_ == "bytes" ? format_bytes(n) : format_count(n); };
  if (total_ <= 0 || done > total_) {  // more than was expected: nobody knows how much is left
    const std::string text = concat(label_, ": ", amount(done), unit_ == "bytes" ? "" : " " + unit_);
    show(text);
    return;
  }
  const double remaining =
      done > 0 ? elapsed * static_cast<double>(total_ - done) / static_cast<double>(done) : -1;
  const int64_t percent = 100 * done / total_;
  const std::string text =
      concat(label_, ": ", percent, " % (", amount(done), " of ", amount(total_),
             unit_ == "bytes" ? "" : " " + unit_, "), ", format_duration(remaining), " left");
  show(text);
}

void Progress::show(const std::string& text) {
  std::fputs((terminal_ ? "\r\x1b[K" + text : text + "\n").c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace lotformer::data
