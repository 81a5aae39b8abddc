// SPDX-License-Identifier: MIT
// The emulator itself, on kernels of a few lines.
#include "emulator.h"

#include <cmath>
#include <vector>

#include "ops/pivot/cuda/device_api.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::ops::pivot::cuda;

namespace {

/// Restores the settings, whatever a test did.
struct KeepSettings {
  ~KeepSettings() { emulator::settings() = {}; }
};

/// Sums thread indices over a cluster of two through the neighbour's shared memory.
std::vector<float> neighbour_sums() {
  std::vector<float> result(2, -1);
  emulator::launch(2, 2, 64, 64 * sizeof(float), [&] {
    float* mine = reinterpret_cast<float*>(shared_memory());
    cluster_sync();
    cluster_peer(mine, 1 - cluster_rank())[thread_index()] =
        static_cast<float>(thread_index() + 100 * cluster_rank());
    cluster_sync();
    if (thread_index() != 0) return;
    float sum = 0;
    for (int i = 0; i < 64; ++i) sum += mine[i];
    result[cluster_rank()] = sum;
  });
  return result;
}

}  // namespace

TEST_CASE("Emulator: shared memory of a peer, both orders of the fibres") {
  const KeepSettings keep;
  const std::vector<float> expected = {64 * 63 / 2 + 6400, 64 * 63 / 2};
  CHECK(neighbour_sums() == expected);
  emulator::settings().order = emulator::Order::reverse;
  CHECK(neighbour_sums() == expected);
}

TEST_CASE("Emulator: a barrier that is taken out shows") {
  const KeepSettings keep;
  std::set<emulator::Site> sites;
  emulator::settings().sites = &sites;
  const std::vector<float> expected = neighbour_sums();
  emulator::settings().sites = nullptr;
  REQUIRE(sites.size() == 2);
  for (const emulator::Site& site : sites) {
    emulator::settings().removed = site;
    bool noticed = false;
    for (const auto order : {emulator::Order::forward, emulator::Order::reverse}) {
      emulator::settings().order = order;
      noticed = noticed || neighbour_sums() != expected;
    }
    INFO(site.first << ":" << site.second);
    CHECK(noticed);
  }
}

TEST_CASE("Emulator: shared memory begins as NaN, a barrier that not all reach is an error") {
  bool poisoned = false;
  emulator::launch(1, 1, 32, 16, [&] { poisoned = std::isnan(*reinterpret_cast<float*>(shared_memory())); });
  CHECK(poisoned);
  CHECK_THROWS_WITH(emulator::launch(1, 1, 32, 16,
                                     [] {
                                       if (thread_index() < 16) cta_sync();
                                     }),
                    test::contains_text("16 threads wait"));
  CHECK_THROWS_WITH(emulator::launch(3, 2, 32, 16, [] {}), test::contains_text("do not fit"));
}

TEST_CASE("Emulator: the matrix instruction is a matrix product") {
  const auto a = [](int row, int k) { return static_cast<float>((row * 7 + k * 3) % 11 - 5); };
  const auto b = [](int k, int column) { return static_cast<float>((k * 5 + column * 2) % 13 - 6); };
  std::vector<float> c(16 * 8);
  emulator::launch(1, 1, 32, 16, [&] {
    const int g = thread_index() / 4, q = thread_index() % 4;
    const uint32_t left[4] = {
        pack_bf16(a(g, 2 * q), a(g, 2 * q + 1)), pack_bf16(a(g + 8, 2 * q), a(g + 8, 2 * q + 1)),
        pack_bf16(a(g, 2 * q + 8), a(g, 2 * q + 9)), pack_bf16(a(g + 8, 2 * q + 8), a(g + 8, 2 * q + 9))};
    float acc[4] = {1, 1, 1, 1};
    mma_bf16(acc, left, pack_bf16(b(2 * q, g), b(2 * q + 1, g)), pack_bf16(b(2 * q + 8, g), b(2 * q + 9, g)));
    for (int i = 0; i < 4; ++i) c[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = acc[i];
  });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float expected = 1;
      for (int k = 0; k < 16; ++k) expected += a(row, k) * b(k, column);
      CHECK(c[row * 8 + column] == expected);
    }
  }
}

TEST_CASE("Emulator: shuffles and rounding to bf16") {
  std::vector<float> crossed(32), copied(32);
  emulator::launch(1, 1, 32, 16, [&] {
    const float mine = static_cast<float>(thread_index());
    crossed[thread_index()] = shuffle_xor(mine, 5);
    copied[thread_index()] = shuffle_from(mine, 3);
  });
  for (int lane = 0; lane < 32; ++lane) {
    CHECK(crossed[lane] == static_cast<float>(lane ^ 5));
    CHECK(copied[lane] == 3);
  }
  CHECK(pack_bf16(1.0f, -2.0f) == 0xc0003f80u);
  CHECK(unpack_bf16(pack_bf16(1.00390625f, 0)).x == 1.0f);       // half way: to even
  CHECK(unpack_bf16(pack_bf16(1.01171875f, 0)).x == 1.015625f);  // half way: to even, upwards
  CHECK(std::isnan(unpack_bf16(pack_bf16(NAN, 0)).x));
}
