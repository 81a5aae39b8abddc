// SPDX-License-Identifier: MIT
#include "mpi_calls.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kEager{100}, kNap{50};
constexpr std::chrono::seconds kRollCall{5};
constexpr int kHere = 4711;  // tag of a message

void pause_since(Clock::time_point start) {
  if (Clock::now() - start < kEager) {
    ::sched_yield();
  } else {
    std::this_thread::sleep_for(kNap);
  }
}

}  // namespace

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(ErrorKind::device, concat(what, ": ", std::string(text.data(), static_cast<size_t>(length))));
}

MpiCalls::MpiCalls(std::chrono::seconds patience, std::function<std::string(const std::vector<bool>&)> silent)
    : patience_(patience), silent_(std::move(silent)) {
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI");
}

void MpiCalls::wait(MPI_Request& request) const {
  const auto start = Clock::now();
  for (int done = 0; done == 0;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI");
    if (done != 0) return;
    if (Clock::now() - start > patience_) give_up();
    pause_since(start);
  }
}

/// Ends the process here: unwinding would free what the call at hand reads, and wait for a device that waits
/// for the others.
void MpiCalls::give_up() const {
  leave_program([this] {
    throw Error(ErrorKind::device,
                concat("after ", patience_.count(), " seconds (--patience) ", silent_(roll_call()),
                       " not come to the same point; the same command goes on from the last checkpoint"));
  });
}

/// All who lose patience do so at about the same time, so those who are there hear from each other.
std::vector<bool> MpiCalls::roll_call() const {
  const auto count = static_cast<size_t>(size_);
  std::vector<bool> here(count, false);
  std::vector<MPI_Request> sent(count, MPI_REQUEST_NULL), heard(count, MPI_REQUEST_NULL);
  std::vector<char> words(count);
  const char word = 1;
  for (int r = 0; r < size_; ++r) {
    const auto i = static_cast<size_t>(r);
    MPI_Isend(&word, 1, MPI_CHAR, r, kHere, MPI_COMM_WORLD, &sent[i]);
    MPI_Irecv(&words[i], 1, MPI_CHAR, r, kHere, MPI_COMM_WORLD, &heard[i]);
  }
  const auto start = Clock::now();
  while (Clock::now() - start < kRollCall && std::find(here.begin(), here.end(), false) != here.end()) {
    for (size_t i = 0; i < count; ++i) {
      int done = 0;
      if (!here[i] && MPI_Test(&heard[i], &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done != 0)
        here[i] = true;
    }
    std::this_thread::sleep_for(kNap);
  }
  return here;
}

void MpiCalls::all_gather(const void* mine, int bytes, void* all) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, MPI_COMM_WORLD, &request),
            "MPI_Iallgather");
  wait(request);
}

void MpiCalls::all_gather(const void* mine, void* all, const std::vector<int>& bytes,
                          const std::vector<int>& places) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgatherv(mine, bytes[static_cast<size_t>(rank_)], MPI_BYTE, all, bytes.data(),
                            places.data(), MPI_BYTE, MPI_COMM_WORLD, &request),
            "MPI_Iallgatherv");
  wait(request);
}

void MpiCalls::all_to_all(const void* mine, const std::vector<int>& bytes, const std::vector<int>& places,
                          void* parts, int bytes_here) const {
  std::vector<int> lengths(static_cast<size_t>(size_), bytes_here), offsets(static_cast<size_t>(size_));
  for (int r = 0; r < size_; ++r) offsets[static_cast<size_t>(r)] = r * bytes_here;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ialltoallv(mine, bytes.data(), places.data(), MPI_BYTE, parts, lengths.data(), offsets.data(),
                           MPI_BYTE, MPI_COMM_WORLD, &request),
            "MPI_Ialltoallv");
  wait(request);
}

}  // namespace lotformer
