// SPDX-License-Identifier: MIT
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <exception>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "launcher.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/mpi/device_sum.h"
#include "lotformer/mpi/open_world.h"
#include "mpi_calls.h"
#include "peer_watch.h"

namespace lotformer {
namespace {

constexpr int64_t kSmall = 4096;             // bytes that each process sends to each other as a whole
constexpr int64_t kMost = int64_t{1} << 30;  // bytes in one call: MPI counts in int
constexpr int kFollow = 5000;                // milliseconds
constexpr std::chrono::milliseconds kNews{300};

struct Peer {
  std::string host;
  int process = 0;
};

class MpiWorld : public World {
 public:
  explicit MpiWorld(std::chrono::seconds patience)
      : calls_(patience, [this](const std::vector<bool>& here) { return absent(here); }) {
    learn_peers();
    std::map<int64_t, int> others;
    for (size_t r = 0; r < peers_.size(); ++r) {
      if (peers_[r].host != peers_[own()].host) continue;
      neighbours_.push_back(static_cast<int64_t>(r));
      if (r != own()) others.emplace(static_cast<int64_t>(r), peers_[r].process);
    }
    watch_.emplace(others, [this](int64_t rank) { leave_after(rank); });
  }

  /// Those who end well end together. Whoever is on the way out with an error does not wait for anybody.
  ~MpiWorld() override {
    if (std::uncaught_exceptions() > 0) return;
    try {
      meet(*this);
      watch_.reset();
      MPI_Finalize();
    } catch (...) {
    }
  }

  int64_t rank() const override { return calls_.rank(); }
  int64_t size() const override { return calls_.size(); }
  int64_t local_rank() const override {
    return std::find(neighbours_.begin(), neighbours_.end(), rank()) - neighbours_.begin();
  }
  int64_t local_size() const override { return static_cast<int64_t>(neighbours_.size()); }
  std::string name(int64_t rank) const override {
    const Peer& peer = peers_.at(static_cast<size_t>(rank));
    return concat("rank ", rank, " (process ", peer.process, " on ", peer.host, ")");
  }

  void sum(const at::Tensor& tensor) const override {
    if (!tensor.is_contiguous()) throw Error(ErrorKind::internal, "World::sum: the tensor is not contiguous");
    if (tensor.is_cuda()) return sum_on_device(tensor);
    if (tensor.scalar_type() == at::kDouble)
      return sum_on_host(tensor.mutable_data_ptr<double>(), tensor.numel());
    sum_on_host(tensor.mutable_data_ptr<float>(), tensor.numel());
  }

  std::vector<std::string> gather(const std::string& mine) const override {
    if (static_cast<int64_t>(mine.size()) > kMost / size())
      throw Error(ErrorKind::internal, "World::gather: too many bytes");
    const int length = static_cast<int>(mine.size());
    std::vector<int> bytes(peers_.size());
    calls_.all_gather(&length, sizeof length, bytes.data());
    std::vector<int> places(peers_.size());
    std::exclusive_scan(bytes.begin(), bytes.end(), places.begin(), 0);
    std::string all(static_cast<size_t>(places.back() + bytes.back()), '\0');
    if (!all.empty()) calls_.all_gather(mine.data(), all.data(), bytes, places);
    std::vector<std::string> result;
    for (size_t r = 0; r < bytes.size(); ++r)
      result.push_back(all.substr(static_cast<size_t>(places[r]), static_cast<size_t>(bytes[r])));
    return result;
  }

  bool is_near(int64_t rank) const override {
    return peers_.at(static_cast<size_t>(rank)).host == peers_[own()].host;
  }

  void part() const override { parting_ = true; }

  void follow(int64_t speaker, ErrorKind kind) const override {
    part();
    ignore_signals();
    if (!wait_for(speaker)) return;
    std::cout.flush();
    ::_exit(static_cast<int>(kind));
  }

 private:
  size_t own() const { return static_cast<size_t>(calls_.rank()); }

  void learn_peers() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    peers_.resize(static_cast<size_t>(calls_.size()));  // gather() asks for their number
    const auto words = gather(concat(::getpid(), " ", host.data()));
    for (size_t r = 0; r < words.size(); ++r) {
      const size_t blank = words[r].find(' ');
      peers_[r] = {words[r].substr(blank + 1), std::stoi(words[r].substr(0, blank))};
    }
  }

  /// mpirun sends a signal to all when one process has ended, and there is nothing left to be saved here.
  static void ignore_signals() {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_IGN);
  }

  /// False: it has not ended. Of another machine nobody can tell, so it gets a second.
  bool wait_for(int64_t rank) const {
    if (is_near(rank)) return wait_for_end(peers_[static_cast<size_t>(rank)].process, kFollow);
    std::this_thread::sleep_for(std::chrono::milliseconds(kFollow / 5));
    return true;
  }

  /// In the thread of the watch. One process of a machine says it: the first that is still there.
  void leave_after(int64_t ended) const {
    // What ended it may be on its way to this process as well, and is then said in its own words.
    std::this_thread::sleep_for(kNews);
    if (parting_) return;
    ignore_signals();
    const auto speaker = std::find_if(neighbours_.begin(), neighbours_.end(), [&](int64_t rank) {
      return rank == this->rank() || !wait_for_end(peers_[static_cast<size_t>(rank)].process, 0);
    });
    if (*speaker != rank() && wait_for(*speaker)) ::_exit(static_cast<int>(ErrorKind::device));
    leave_program([&] {
      throw Error(ErrorKind::device, concat(name(ended),
                                            " has ended, and nobody can go on without it; the same command "
                                            "goes on from the last checkpoint"));
    });
  }

  std::string absent(const std::vector<bool>& here) const {
    std::vector<std::string> names;
    for (size_t r = 0; r < here.size(); ++r) {
      if (!here[r]) names.push_back(name(static_cast<int64_t>(r)));
    }
    if (names.empty()) return "some process has";
    return concat(join(names, ", "), names.size() == 1 ? " has" : " have");
  }

  /// Each process adds one part of the numbers up, in the order of ranks, and hands it to all: as many bytes
  /// as the best algorithm of MPI_Allreduce moves, and sums that do not depend on which it would choose.
  template <typename T>
  void sum_on_host(T* values, int64_t count) const {
    const int64_t most = kMost / static_cast<int64_t>(sizeof(T));
    for (int64_t done = 0; done < count; done += most) {
      const int64_t part = std::min(most, count - done);
      part* static_cast<int64_t>(sizeof(T)) <= kSmall ? sum_small(values + done, part)
                                                      : sum_large(values + done, part);
    }
  }

  template <typename T>
  void sum_small(T* values, int64_t count) const {
    std::vector<T> all(static_cast<size_t>(count * size()));
    calls_.all_gather(values, static_cast<int>(count * static_cast<int64_t>(sizeof(T))), all.data());
    add_up(all, values, count);
  }

  template <typename T>
  void sum_large(T* values, int64_t count) const {
    std::vector<int> bytes, places;
    for (int64_t r = 0; r < size(); ++r) {
      const Share share = share_of(count, r, size());
      bytes.push_back(static_cast<int>((share.end - share.first) * static_cast<int64_t>(sizeof(T))));
      places.push_back(static_cast<int>(share.first * static_cast<int64_t>(sizeof(T))));
    }
    const Share mine = share_of(count, rank(), size());
    std::vector<T> parts(static_cast<size_t>((mine.end - mine.first) * size()));
    calls_.all_to_all(values, bytes, places, parts.data(), bytes[own()]);
    std::vector<T> sums(static_cast<size_t>(mine.end - mine.first));
    add_up(parts, sums.data(), mine.end - mine.first);
    calls_.all_gather(sums.data(), values, bytes, places);
  }

  /// `parts`: [size, count].
  template <typename T>
  void add_up(const std::vector<T>& parts, T* sums, int64_t count) const {
    std::copy_n(parts.begin(), count, sums);
    for (int64_t r = 1; r < size(); ++r) {
      const T* part = parts.data() + r * count;
      for (int64_t i = 0; i < count; ++i) sums[i] += part[i];
    }
  }

  void sum_on_device(const at::Tensor& tensor) const {
    const c10::DeviceGuard guard(tensor.device());
    if (!device_sum_) {
      const auto ids = gather(leads() ? make_device_sum_id() : std::string());
      device_sum_ = std::make_unique<DeviceSum>(ids[0], rank(), size());
    }
    (*device_sum_)(tensor);
  }

  MpiCalls calls_;
  std::vector<Peer> peers_;
  std::vector<int64_t> neighbours_;  // ranks on this machine
  mutable std::unique_ptr<DeviceSum> device_sum_;
  mutable std::atomic<bool> parting_ = false;
  std::optional<PeerWatch> watch_;  // last: its thread uses all of the above
};

}  // namespace

std::shared_ptr<const World> open_world(std::chrono::seconds patience) {
  require_known_launcher();
  if (!started_by_launcher()) return lone_world();
  int granted = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &granted) != MPI_SUCCESS)
    throw Error(ErrorKind::device, "MPI cannot be started");
  int size = 1;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI");
  if (size > 1) return std::make_shared<const MpiWorld>(patience);
  MPI_Finalize();
  if (const int64_t said = processes_said(); said > 1)
    throw Error(ErrorKind::usage, concat("the launcher says that it has started ", said,
                                         " processes, and the MPI of this build (", *message_passing(),
                                         ") finds one: start them with its own mpirun, or srun --mpi=pmix"));
  return lone_world();
}

std::optional<std::string> message_passing() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string all(text.data(), static_cast<size_t>(length));
  return all.substr(0, all.find_first_of(",\n"));
}

}  // namespace lotformer
