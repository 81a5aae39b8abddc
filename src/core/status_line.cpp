// SPDX-License-Identifier: MIT
#include "lotformer/core/status_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace lotformer {
namespace {

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::milliseconds kPlainLine{5000};

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

}  // namespace

StatusLine::StatusLine(Ending ending) : ending_(ending), terminal_(isatty(STDERR_FILENO) != 0) {}

StatusLine::~StatusLine() {
  finish();
}

bool StatusLine::due() const {
  return Clock::now() >= next_;
}

void StatusLine::show(const std::string& text, bool force) {
  if (!force && !due()) return;
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

void StatusLine::finish() {
  if (open_) std::fputs(ending_ == Ending::erase ? "\r\033[K" : "\n", stderr);
  open_ = false;
}

}  // namespace lotformer
