// SPDX-License-Identifier: MIT
#include "emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <csetjmp>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace lotformer::emulator {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = size_t{192} << 10;
constexpr unsigned char kPoison = 0xff;  // four of them are a NaN

struct Fiber;

struct Barrier {
  int members = 0;
  std::vector<Fiber*> waiting;
};

struct Warp {
  Barrier barrier;
  uint32_t words[2][kWarp * kWarpWords];  // by parity of the exchange: one barrier an exchange is enough
};

struct Cta {
  int index = 0, rank = 0;
  std::vector<unsigned char> shared;
  bool started = false;
  std::vector<Warp> warps;
  Barrier barrier;
};

struct Fiber {
  ucontext_t start;
  std::jmp_buf place;
  bool started = false;
  std::vector<char> stack;
  Cta* cta = nullptr;
  int thread = 0;
  int exchanges = 0;
};

struct Cluster {
  std::vector<Cta> ctas;
  std::vector<Fiber*> fibers;
  Barrier barrier;
  std::deque<Fiber*> ready;
  const std::function<void()>* kernel = nullptr;
  std::jmp_buf host;
  ucontext_t host_context;
  size_t unfinished = 0;
};

Cluster* cluster = nullptr;
Fiber* current = nullptr;
std::vector<std::unique_ptr<Fiber>> pool;  // stacks are kept from launch to launch

[[noreturn]] void run_next();

// Under a sanitizer every switch is announced and done by ucontext; otherwise by longjmp, which saves a
// system call each.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAnnounce = true;
#else
constexpr bool kAnnounce = false;
#endif

void body() {
  Cta& cta = *current->cta;
  if (!cta.started) {  // a peer that wrote here before has written too early
    cta.started = true;
    std::fill(cta.shared.begin(), cta.shared.end(), kPoison);
  }
  (*cluster->kernel)();
  --cluster->unfinished;
  run_next();
}

#if defined(__SANITIZE_ADDRESS__)
void* host_fake = nullptr;
const void* host_bottom = nullptr;
size_t host_size = 0;
#endif

void announce_entry(Fiber* to) {
#if defined(__SANITIZE_ADDRESS__)
  void* ignored = nullptr;
  __sanitizer_start_switch_fiber(&ignored, to ? to->stack.data() : host_bottom, to ? kStackBytes : host_size);
#else
  (void)to;
#endif
}

void announce_arrival() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!host_bottom) {
    host_bottom = bottom;
    host_size = size;
  }
#endif
}

void entry() {
  announce_arrival();
  body();
}

/// Leaves the running fibre for the next that can run, or for the host when none can.
[[noreturn]] void run_next() {
  if (cluster->ready.empty()) {
    announce_entry(nullptr);
    if constexpr (kAnnounce) setcontext(&cluster->host_context);
    _longjmp(cluster->host, 1);
  }
  current = cluster->ready.front();
  cluster->ready.pop_front();
  announce_entry(current);
  if (kAnnounce || !current->started) {
    current->started = true;
    setcontext(&current->start);
  }
  _longjmp(current->place, 1);
}

/// Waits in `list` until somebody makes this fibre ready.
void suspend(std::vector<Fiber*>& list) {
  list.push_back(current);
#if defined(__SANITIZE_ADDRESS__)
  Fiber* self = current;
  volatile bool back = false;
  getcontext(&self->start);
  if (back) {
    announce_arrival();
    return;
  }
  back = true;
  run_next();
#else
  if (_setjmp(current->place) == 0) run_next();
#endif
}

void arrive(Barrier& barrier) {
  if (static_cast<int>(barrier.waiting.size()) + 1 < barrier.members) {
    suspend(barrier.waiting);
    return;
  }
  auto& ready = cluster->ready;
  if (settings().order == Order::forward) {
    ready.insert(ready.end(), barrier.waiting.begin(), barrier.waiting.end());
  } else {  // at once: a CTA runs as far ahead of the others as it can
    ready.insert(ready.begin(), barrier.waiting.rbegin(), barrier.waiting.rend());
  }
  barrier.waiting.clear();
}

/// False when this barrier has been taken out.
bool meet(const char* file, int line) {
  Settings& s = settings();
  if (!s.sites && s.removed.first.empty()) return true;
  const std::string path = file;
  const Site site{path.substr(path.rfind('/') + 1), line};
  if (s.sites) s.sites->insert(site);
  return site != s.removed;
}

void prepare_fiber(Fiber& fiber, Cta& cta, int thread) {
  fiber.cta = &cta;
  fiber.thread = thread;
  fiber.exchanges = 0;
  fiber.started = false;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.data();
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, entry, 0);
}

void prepare(Cluster& c, int first_cta, int size, int threads, size_t shared_bytes) {
  c.ctas.resize(size);
  c.barrier.members = size * threads;
  while (pool.size() < static_cast<size_t>(size) * threads) {
    pool.push_back(std::make_unique<Fiber>());
    pool.back()->stack.resize(kStackBytes);
  }
  for (int rank = 0; rank < size; ++rank) {
    Cta& cta = c.ctas[rank];
    cta.index = first_cta + rank;
    cta.rank = rank;
    cta.shared.assign(shared_bytes, kPoison);
    cta.warps.resize(threads / kWarp);
    for (Warp& warp : cta.warps) warp.barrier.members = kWarp;
    cta.barrier.members = threads;
    for (int thread = 0; thread < threads; ++thread) {
      Fiber& fiber = *pool[static_cast<size_t>(rank) * threads + thread];
      prepare_fiber(fiber, cta, thread);
      c.fibers.push_back(&fiber);
    }
  }
  c.unfinished = c.fibers.size();
  const bool forward = settings().order == Order::forward;
  for (size_t i = 0; i < c.fibers.size(); ++i)
    c.ready.push_back(c.fibers[forward ? i : c.fibers.size() - 1 - i]);
}

void run(Cluster& c) {
  cluster = &c;
#if defined(__SANITIZE_ADDRESS__)
  volatile bool back = false;
  getcontext(&c.host_context);
  if (!back) {
    back = true;
    current = c.ready.front();
    c.ready.pop_front();
    __sanitizer_start_switch_fiber(&host_fake, current->stack.data(), kStackBytes);
    current->started = true;
    setcontext(&current->start);
  }
  __sanitizer_finish_switch_fiber(host_fake, nullptr, nullptr);
#else
  if (_setjmp(c.host) == 0) run_next();
#endif
  cluster = nullptr;
  current = nullptr;
}

}  // namespace

Settings& settings() {
  static Settings instance{};
  return instance;
}

void launch(int grid, int size, int threads, size_t shared_bytes, const std::function<void()>& kernel) {
  if (size < 1 || grid % size != 0 || threads < kWarp || threads % kWarp != 0)
    throw std::runtime_error("emulator: grid, cluster and threads do not fit together");
  for (int first = 0; first < grid; first += size) {
    Cluster c;
    c.kernel = &kernel;
    prepare(c, first, size, threads, shared_bytes);
    run(c);
    if (c.unfinished != 0)
      throw std::runtime_error("emulator: " + std::to_string(c.unfinished) +
                               " threads wait at a barrier that the others never reach");
  }
}

int thread_index() {
  return current->thread;
}
int cta_index() {
  return current->cta->index;
}
int cluster_rank() {
  return current->cta->rank;
}
int cluster_size() {
  return static_cast<int>(cluster->ctas.size());
}
unsigned char* shared_memory(int rank) {
  return cluster->ctas[rank].shared.data();
}

size_t shared_bytes() {
  return current->cta->shared.size();
}

void cta_barrier(const char* file, int line) {
  if (meet(file, line)) arrive(current->cta->barrier);
}
void cluster_barrier(const char* file, int line) {
  if (meet(file, line)) arrive(cluster->barrier);
}

const uint32_t* warp_exchange(const uint32_t* words, int count) {
  Warp& warp = current->cta->warps[current->thread / kWarp];
  uint32_t* buffer = warp.words[current->exchanges++ & 1];
  std::memcpy(buffer + (current->thread % kWarp) * kWarpWords, words, count * sizeof(uint32_t));
  arrive(warp.barrier);
  return buffer;
}

}  // namespace lotformer::emulator

namespace lotformer::ops::pivot::cuda {
namespace {

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float shuffle(float value, int lane) {
  const uint32_t word = to_bits(value);
  return from_bits(emulator::warp_exchange(&word, 1)[lane * emulator::kWarpWords]);
}

uint32_t round_to_bf16(float value) {
  const uint32_t bits = to_bits(value);
  if (value != value) return (bits >> 16) | 0x40;  // a NaN stays one
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

float half_of(uint32_t pair, int which) {
  return from_bits(which ? pair & 0xffff0000u : pair << 16);
}

}  // namespace

float shuffle_xor(float value, int mask) {
  return shuffle(value, (emulator::thread_index() % 32) ^ mask);
}

float shuffle_from(float value, int lane) {
  return shuffle(value, lane);
}

uint32_t pack_bf16(float low, float high) {
  return round_to_bf16(low) | (round_to_bf16(high) << 16);
}

// Fragments of m16n8k16 (PTX manual): lane = 4 g + q. A: register 0 row g, columns 2q and 2q + 1; register 1
// row g + 8; registers 2 and 3 the same at columns + 8. B: register 0 rows 2q and 2q + 1 of column g;
// register 1 rows + 8. C: row g and g + 8, columns 2q, 2q + 1.
void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const uint32_t* all = emulator::warp_exchange(mine, 6);
  const int lane = emulator::thread_index() % 32, g = lane / 4, q = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + 8 * (i / 2), column = 2 * q + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; ++k) {
      const int quarter = (k % 8) / 2;
      const uint32_t x = all[((row % 8) * 4 + quarter) * emulator::kWarpWords + row / 8 + 2 * (k / 8)];
      const uint32_t y = all[(column * 4 + quarter) * emulator::kWarpWords + 4 + k / 8];
      sum += static_cast<double>(half_of(x, k % 2)) * half_of(y, k % 2);
    }
    c[i] = static_cast<float>(sum);
  }
}

// ldmatrix.x4.trans: word m of lane 4 g + q has column g of rows 2q and 2q + 1 of matrix m.
void load_transposed(uint32_t (&words)[4], const void* row) {
  const unsigned char* memory = emulator::shared_memory(emulator::cluster_rank());
  const uint32_t offset = static_cast<uint32_t>(static_cast<const unsigned char*>(row) - memory);
  if (offset % 16 != 0 || offset + 16 > emulator::shared_bytes()) std::terminate();
  const uint32_t* all = emulator::warp_exchange(&offset, 1);
  const int lane = emulator::thread_index() % 32, g = lane / 4, q = lane % 4;
  for (int m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i)
      std::memcpy(&pair[i], memory + all[(8 * m + 2 * q + i) * emulator::kWarpWords] + 2 * g, sizeof pair[i]);
    words[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

}  // namespace lotformer::ops::pivot::cuda
