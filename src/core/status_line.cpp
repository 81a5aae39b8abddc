// SPDX-License-Identifier: MIT
#include "lotformer/core/status_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "lotformer/core/log.h"

namespace lotformer {
namespace {

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::milliseconds kPlainLine{5000};
constexpr size_t kBar = 24, kGap = 2;

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

size_t line_width(const std::vector<std::string>& fields) {
  size_t width = 0;
  for (const std::string& field : fields) width += field.size() + kGap;
  return width;
}

}  // namespace

std::string fit_fields(const std::vector<std::string>& fields, size_t width) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty() && line.size() + kGap + field.size() > width) break;
    line += (line.empty() ? "" : std::string(kGap, ' ')) + field;
  }
  return line;
}

std::string progress_bar(double share, size_t width) {
  const auto done =
      static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(width)));
  return "[" + std::string(done, '#') + std::string(width - done, '-') + "]";
}

StatusLine::StatusLine(Ending ending) : ending_(ending), terminal_(isatty(STDERR_FILENO) != 0) {}

StatusLine::~StatusLine() {
  finish();
}

bool StatusLine::due() const {
  return Clock::now() >= next_;
}

void StatusLine::show(const std::string& text, bool force) {
  if (!log::shows(log::Level::info) || (!force && !due())) return;
  next_ = Clock::now() + (terminal_ ? kRedraw : kPlainLine);
  if (terminal_) {
    // A line wider than the terminal would wrap and could not be redrawn.
    std::fprintf(stderr, "\r\033[K%s", text.substr(0, terminal_width() - 1).c_str());
    open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

void StatusLine::show(std::vector<std::string> fields, double share, bool force) {
  if (!log::shows(log::Level::info) || (!force && !due())) return;
  if (!terminal_) return show(fit_fields(fields, line_width(fields)), true);
  const size_t width = terminal_width() - 1;
  const std::string bar = progress_bar(share, kBar);
  if (fields.size() > 2 && line_width(fields) + bar.size() <= width) fields.insert(fields.begin() + 2, bar);
  show(fit_fields(fields, width), true);
}

void StatusLine::finish() {
  if (open_) std::fputs(ending_ == Ending::erase ? "\r\033[K" : "\n", stderr);
  open_ = false;
}

}  // namespace lotformer
