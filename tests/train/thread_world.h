// SPDX-License-Identifier: MIT
// A world of threads, for tests of what processes do together.
#pragma once

#include <ATen/core/Tensor.h>

#include <barrier>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lotformer/train/world.h"

namespace lotformer::test {

/// What all threads write to and read from.
struct ThreadMeeting {
  explicit ThreadMeeting(int64_t size)
      : size(size), barrier(size), words(static_cast<size_t>(size)), tensors(words.size()) {}
  int64_t size;
  std::barrier<> barrier;
  std::vector<std::string> words;
  std::vector<at::Tensor> tensors;
};

/// What follow() throws in the place of ending the process.
struct Followed {
  int64_t speaker;
  ErrorKind kind;
};

class ThreadWorld : public World {
 public:
  ThreadWorld(ThreadMeeting& meeting, int64_t rank) : meeting_(meeting), rank_(rank) {}
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return meeting_.size; }
  int64_t local_rank() const override { return rank_; }
  int64_t local_size() const override { return meeting_.size; }
  std::string name(int64_t rank) const override { return "rank " + std::to_string(rank); }
  void sum(const at::Tensor& tensor) const override {
    meeting_.tensors[static_cast<size_t>(rank_)] = tensor.clone();
    meeting_.barrier.arrive_and_wait();
    at::Tensor total = meeting_.tensors[0].clone();
    for (size_t r = 1; r < meeting_.tensors.size(); ++r) total += meeting_.tensors[r];
    meeting_.barrier.arrive_and_wait();
    tensor.copy_(total);
  }
  std::vector<std::string> gather(const std::string& mine) const override {
    meeting_.words[static_cast<size_t>(rank_)] = mine;
    meeting_.barrier.arrive_and_wait();
    const std::vector<std::string> all = meeting_.words;
    meeting_.barrier.arrive_and_wait();
    return all;
  }
  bool is_near(int64_t /*rank*/) const override { return true; }
  void part() const override {}
  void follow(int64_t speaker, ErrorKind kind) const override { throw Followed{speaker, kind}; }

 private:
  ThreadMeeting& meeting_;
  int64_t rank_;
};

/// How `work` ended in each of the threads: what() of an Error, "followed RANK with CODE", or "".
inline std::vector<std::string> in_threads(int64_t size, const std::function<void(const World&)>& work) {
  ThreadMeeting meeting(size);
  std::vector<std::string> ends(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const ThreadWorld world(meeting, rank);
      std::string& end = ends[static_cast<size_t>(rank)];
      try {
        work(world);
      } catch (const Followed& followed) {
        end = "followed " + std::to_string(followed.speaker) + " with " +
              std::to_string(static_cast<int>(followed.kind));
      } catch (const std::exception& error) {
        end = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ends;
}

}  // namespace lotformer::test
