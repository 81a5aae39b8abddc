// SPDX-License-Identifier: MIT
// The processes that train one model together (data parallel): each takes its share of every batch, gradients
// are added up, and all make the same update.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/error.h"

namespace lotformer {

/// Every process has one. Members that speak of all processes are collective: all of them call it, in the
/// same order, from the thread that opened the world. A process that ends or does not answer ends the others
/// with Error(device) that names it.
class World {
 public:
  virtual ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// This process, 0 ... size() - 1.
  virtual int64_t rank() const = 0;
  virtual int64_t size() const = 0;
  /// Which of the processes on its machine this one is, and how many they are.
  virtual int64_t local_rank() const = 0;
  virtual int64_t local_size() const = 0;
  /// "rank 3 (process 4711 on node2)"
  virtual std::string name(int64_t rank) const = 0;
  /// Collective: puts the sum over all processes in the tensor's place, float32 or float64, contiguous. Terms
  /// are added in the order of ranks on a CPU and in NCCL's order on a GPU; every process gets the same bits.
  virtual void sum(const at::Tensor& tensor) const = 0;
  /// Collective: what every process says, by rank.
  virtual std::vector<std::string> gather(const std::string& mine) const = 0;
  /// Ends this process with the exit code of `kind`, without a word, when `speaker` has ended: it says the
  /// error that all have. Returns when it has not within some seconds.
  virtual void follow(int64_t speaker, ErrorKind kind) const = 0;
  /// Whether a process runs on this machine, so that follow() can see it end.
  virtual bool is_near(int64_t rank) const = 0;
  /// From now on the end of another process is no news: this one ends as well.
  virtual void part() const = 0;

  bool alone() const { return size() == 1; }
  /// Writes what is written.
  bool leads() const { return rank() == 0; }

 protected:
  World() = default;
};

/// A single process.
std::shared_ptr<const World> lone_world();

/// Collective: whether any process says so.
bool any(const World& world, bool mine);
/// Collective: by place, over all processes.
std::vector<double> sum(const World& world, const std::vector<double>& mine);
/// Collective: returns when all have come here.
void meet(const World& world);
/// What agree() throws in the process that says it: the others know.
class SaidError : public Error {
 public:
  explicit SaidError(const Error& error) : Error(error) {}
};
/// Collective: all do `work`, in which nothing is collective. Where it throws an Error in one of them it
/// fails in all: the lowest such rank throws its own (SaidError), the others end with its exit code.
void agree(const World& world, const std::function<void()>& work);
/// As agree(), but the work is that of rank 0; the others wait.
void lead(const World& world, const std::function<void()>& work);
/// Collective: what rank 0 says. Of what a disk shows, which caches may hide from others for a while.
std::string first_says(const World& world, const std::string& mine);
/// Collective: Error that names the first rank whose `value` differs from that of rank 0, with both.
void require_same(const World& world, std::string_view what, const std::string& value,
                  ErrorKind kind = ErrorKind::usage);
/// Collective: processors for each of those processes that may use the same ones, at least 1.
int64_t processors_each(const World& world);

/// The part [first, end) of `count` things that falls to `rank`; parts differ by one at most.
struct Share {
  int64_t first, end;
};
Share share_of(int64_t count, int64_t rank, int64_t size);

}  // namespace lotformer
