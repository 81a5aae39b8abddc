// SPDX-License-Identifier: MIT
// Test of the tests: every barrier of the kernels is taken out in turn, and the emulator must notice.
#include <algorithm>
#include <iostream>
#include <stdexcept>

#include "inputs.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::ops::pivot::cuda;
using namespace lotformer::ops::pivot::cuda::test;

namespace {

/// So that the largest potential is one of the second half of the columns.
void favour_last_pivot(Inputs& in) {
  in.sigma.back() += 1;
  for (float& mass : in.sigma) mass /= 2;
}

/// Few small calls that between them meet every barrier. 64 pivots: more than a warp has lanes, so that those
/// who write and who read are different warps, down to the last lane.
std::vector<Inputs> calls() {
  std::vector<Inputs> result;
  result.push_back(random_inputs({1, 1, 260, 64, 32}, Mode::exact, 1.5, false));
  result.back().tolerance = 1e-3;
  result.back().kappa = {0.5f, 0};
  result.push_back(random_inputs({1, 1, 260, 64, 32}, Mode::truncated, 1.0, false));
  result.back().half_iterations = 5;
  favour_last_pivot(result.back());
  result.push_back(random_inputs({1, 1, 260, 64, 32}, Mode::truncated, 1.0, false));
  starve_last_pivot(result.back(), 200);  // flagged, so streamed, and a starving column
  result.back().half_iterations = 4;
  // Both sides flagged, and one cluster that does them again in turn.
  result.push_back(random_inputs({1, 1, 260, 64, 32}, Mode::exact, 1.0, false));
  starve_last_pivot(result.back(), 200);
  result.back().tolerance = 1e-2;
  return result;
}

/// With 8 warps: at 16 the staleness that one barrier prevents is rounded away in these calls.
void two_ctas(Plan& plan) {
  plan.resident = std::min(plan.resident, 0);
  plan.cluster = plan.stream_cluster = 2;
  plan.redo_clusters = 1;
}

/// Differs from `expected`, or ends in threads that wait for ever.
bool noticed(const Inputs& in, const Results& expected) {
  for (const auto order : {emulator::Order::forward, emulator::Order::reverse}) {
    emulator::settings().order = order;
    try {
      if (!same_bits(run_emulated(in, kLargeDevice, two_ctas), expected)) return true;
    } catch (const std::runtime_error&) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("Every barrier is needed") {
  std::set<emulator::Site> all, missed;
  for (const Inputs& in : calls()) {
    std::set<emulator::Site> sites;
    emulator::settings() = {};
    emulator::settings().sites = &sites;
    const Results expected = run_emulated(in, kLargeDevice, two_ctas);
    emulator::settings() = {};
    for (const emulator::Site& site : sites) {
      const bool first = all.insert(site).second;
      if (!first && missed.count(site) == 0) continue;
      emulator::settings().removed = site;
      if (noticed(in, expected)) {
        missed.erase(site);
      } else if (first) {
        missed.insert(site);
      }
      emulator::settings() = {};
    }
  }
  CHECK(all.size() > 20);
  for (const emulator::Site& site : missed) {
    INFO(site.first << ":" << site.second << " was taken out and nothing changed");
    CHECK(false);
  }
  std::cout << all.size() - missed.size() << " of " << all.size() << " barriers are needed\n";
}
