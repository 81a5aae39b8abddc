// SPDX-License-Identifier: MIT
// Times the solver on a cost matrix from a file, for scripts/bench/ot_libraries.py.
//   transport_time COST N R EPSILON TOLERANCE ROUNDS    COST: N R numbers, float64, row by row
// Prints one JSON line: seconds of each round, passes, marginal errors, <C, P>. One thread.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "lotformer/ops/transport.h"

int main(int count, char** arguments) {
  if (count != 7) {
    std::fprintf(stderr, "transport_time COST N R EPSILON TOLERANCE ROUNDS\n");
    return 2;
  }
  const int64_t n = std::atoll(arguments[2]), r = std::atoll(arguments[3]);
  lotformer::ops::TransportProblem problem;
  problem.cost = at::empty({n, r}, at::kDouble);
  problem.epsilon = std::atof(arguments[4]);
  std::ifstream file(arguments[1], std::ios::binary);
  if (!file.read(static_cast<char*>(problem.cost.mutable_data_ptr()),
                 static_cast<std::streamsize>(problem.cost.nbytes()))) {
    std::fprintf(stderr, "%s does not hold %s x %s numbers\n", arguments[1], arguments[2], arguments[3]);
    return 1;
  }
  lotformer::ops::TransportOptions options;
  options.tolerance = std::atof(arguments[5]);
  options.max_passes = 1000;
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;
  lotformer::ops::TransportSolution found = lotformer::ops::solve_transport(problem, options);
  std::printf("{\"seconds\": [");
  for (int round = 0; round < std::atoi(arguments[6]); ++round) {
    const auto start = std::chrono::steady_clock::now();
    found = lotformer::ops::solve_transport(problem, options);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    std::printf("%s%.6f", round ? ", " : "", taken.count());
  }
  std::printf("], \"passes\": %ld, \"source_error\": %.3e, \"target_error\": %.3e, \"cost\": %.12g}\n",
              static_cast<long>(found.passes.item<int64_t>()), found.source_error.item<double>(),
              found.target_error.item<double>(), (problem.cost * found.plan).sum().item<double>());
}
