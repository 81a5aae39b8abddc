// SPDX-License-Identifier: MIT
// Collective calls of MPI that give up when the others are silent.
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace lotformer {

/// Error(device) with MPI's own words unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* what);

/// Calls on MPI_COMM_WORLD. All wait without keeping a processor busy, because there may be more processes
/// than processors, and none for longer than `patience`: Error(device), where `silent` names whom it is
/// waiting for.
class MpiCalls {
 public:
  MpiCalls(std::chrono::seconds patience, std::function<std::string(const std::vector<bool>& here)> silent);

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// `bytes` of each process, by rank.
  void all_gather(const void* mine, int bytes, void* all) const;
  void all_gather(const void* mine, void* all, const std::vector<int>& bytes,
                  const std::vector<int>& places) const;
  /// The part of `mine` that is meant for each process, by rank; parts are all as long as `bytes` says.
  void all_to_all(const void* mine, const std::vector<int>& bytes, const std::vector<int>& places,
                  void* parts, int bytes_here) const;

 private:
  void wait(MPI_Request& request) const;
  [[noreturn]] void give_up() const;
  /// Who answers within some seconds.
  std::vector<bool> roll_call() const;

  std::chrono::seconds patience_;
  std::function<std::string(const std::vector<bool>&)> silent_;
  int rank_ = 0, size_ = 1;
};

}  // namespace lotformer
