// SPDX-License-Identifier: MIT
#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace lotformer {
namespace {

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::seconds kPlainInterval{5};

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) != 0) {}
Progress::~Progress() {
  finish();
}

void Progress::show(const std::string& text, bool force) {
  const auto now = std::chrono::steady_clock::now();
  if (!force && last_.time_since_epoch().count() != 0 &&
      now - last_ < (terminal_ ? std::chrono::nanoseconds(kRedraw) : kPlainInterval))
    return;
  last_ = now;
  if (terminal_) {
    // A line wider than the terminal would wrap and could not be redrawn.
    std::fprintf(stderr, "\r\033[K%s", text.substr(0, terminal_width() - 1).c_str());
    open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

void Progress::finish() {
  if (open_) std::fputc('\n', stderr);
  open_ = false;
}

}  // namespace lotformer
