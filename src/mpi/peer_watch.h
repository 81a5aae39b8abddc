// SPDX-License-Identifier: MIT
// Notices at once when a process on this machine ends.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <vector>

namespace lotformer {

/// Watches other processes of this machine through their descriptors (pidfd_open), so that no number that the
/// system has given out again is mistaken for one of them.
class PeerWatch {
 public:
  /// `ended` is called from another thread, once, with the key of the first process that has ended.
  /// Processes by key; those whose descriptor the kernel refuses are not watched.
  PeerWatch(const std::map<int64_t, int>& processes, std::function<void(int64_t key)> ended);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

 private:
  struct Peer {
    int64_t key;
    int descriptor;
  };
  void watch() const;
  std::function<void(int64_t)> ended_;
  std::vector<Peer> peers_;
  int stop_ = -1;  // an event descriptor
  std::thread thread_;
};

/// Waits until the process has ended, for at most so many milliseconds; whether it has.
bool wait_for_end(int process, int milliseconds);

}  // namespace lotformer
