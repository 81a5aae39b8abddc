// SPDX-License-Identifier: MIT
#include "peer_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

namespace lotformer {
namespace {

constexpr int kLook = 50;  // milliseconds

// Debian 12's C library has no wrapper.
int open_process(int process) {
  return static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
}

/// Where the kernel hands out no descriptors of processes.
bool wait_by_looking(int process, int milliseconds) {
  for (int left = milliseconds;; left -= kLook) {
    if (::kill(process, 0) != 0 && errno == ESRCH) return true;
    if (left <= 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(kLook));
  }
}

}  // namespace

PeerWatch::PeerWatch(const std::map<int64_t, int>& processes, std::function<void(int64_t)> ended)
    : ended_(std::move(ended)) {
  for (const auto& [key, process] : processes) {
    if (const int descriptor = open_process(process); descriptor >= 0) peers_.push_back({key, descriptor});
  }
  if (peers_.empty()) return;
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  if (stop_ >= 0) thread_ = std::thread([this] { watch(); });
}

PeerWatch::~PeerWatch() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    static_cast<void>(::write(stop_, &one, sizeof one));
    thread_.join();
  }
  if (stop_ >= 0) ::close(stop_);
  for (const Peer& peer : peers_) ::close(peer.descriptor);
}

void PeerWatch::watch() const {
  std::vector<pollfd> waiting = {{stop_, POLLIN, 0}};
  for (const Peer& peer : peers_) waiting.push_back({peer.descriptor, POLLIN, 0});
  while (::poll(waiting.data(), waiting.size(), -1) < 0) {
  }
  if (waiting[0].revents != 0) return;
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (waiting[i + 1].revents != 0) return ended_(peers_[i].key);
  }
}

bool wait_for_end(int process, int milliseconds) {
  const int descriptor = open_process(process);
  if (descriptor < 0 && errno != ESRCH) return wait_by_looking(process, milliseconds);
  if (descriptor < 0) return true;
  pollfd waiting = {descriptor, POLLIN, 0};
  const bool ended = ::poll(&waiting, 1, milliseconds) > 0;
  ::close(descriptor);
  return ended;
}

}  // namespace lotformer
