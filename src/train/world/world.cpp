// SPDX-License-Identifier: MIT
#include "lotformer/train/world.h"

#include <ATen/ops/tensor.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "lotformer/core/processors.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

class LoneWorld : public World {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  int64_t local_rank() const override { return 0; }
  int64_t local_size() const override { return 1; }
  std::string name(int64_t rank) const override { return concat("rank ", rank); }
  void sum(const at::Tensor& /*tensor*/) const override {}
  std::vector<std::string> gather(const std::string& mine) const override { return {mine}; }
  void follow(int64_t /*speaker*/, ErrorKind /*kind*/) const override {}
  bool is_near(int64_t /*rank*/) const override { return true; }
  void part() const override {}
};

/// What a process says of its work: nothing where it went well, else the exit code.
void fail_together(const World& world, const std::optional<Error>& mine) {
  const auto codes = world.gather(mine ? std::to_string(mine->exit_code()) : std::string());
  for (size_t rank = 0; rank < codes.size(); ++rank) {
    if (codes[rank].empty()) continue;
    const auto speaker = static_cast<int64_t>(rank);
    if (speaker == world.rank()) throw SaidError(*mine);
    const auto kind = static_cast<ErrorKind>(std::stoi(codes[rank]));
    world.follow(speaker, kind);
    throw Error(kind, world.name(speaker) + " has failed");
  }
}

}  // namespace

std::shared_ptr<const World> lone_world() {
  static const auto world = std::make_shared<const LoneWorld>();
  return world;
}

std::vector<double> sum(const World& world, const std::vector<double>& mine) {
  if (world.alone() || mine.empty()) return mine;
  const at::Tensor numbers = at::tensor(mine, at::kDouble);
  world.sum(numbers);
  const double* values = numbers.const_data_ptr<double>();
  return {values, values + numbers.numel()};
}

bool any(const World& world, bool mine) {
  return sum(world, {mine ? 1.0 : 0.0})[0] > 0;
}

void meet(const World& world) {
  any(world, false);
}

void agree(const World& world, const std::function<void()>& work) {
  if (world.alone()) return work();
  std::optional<Error> problem;
  try {
    work();
  } catch (const Error& error) {
    problem = error;
  } catch (const std::system_error& error) {  // a file that cannot be asked
    problem.emplace(ErrorKind::disk, error.what());
  }
  fail_together(world, problem);
}

void lead(const World& world, const std::function<void()>& work) {
  agree(world, [&] {
    if (world.leads()) work();
  });
}

std::string first_says(const World& world, const std::string& mine) {
  return world.alone() ? mine : world.gather(world.leads() ? mine : std::string())[0];
}

void require_same(const World& world, std::string_view what, const std::string& value, ErrorKind kind) {
  if (world.alone()) return;
  const auto values = world.gather(value);
  agree(world, [&] {
    for (size_t rank = 1; rank < values.size(); ++rank) {
      if (values[rank] == values[0]) continue;
      throw Error(kind, concat(what, " of ", world.name(static_cast<int64_t>(rank)), " is ",
                               quoted(values[rank], 200), ", that of ", world.name(0), " is ",
                               quoted(values[0], 200), "; processes that train one model must agree in it"));
    }
  });
}

int64_t processors_each(const World& world) {
  const int64_t usable = usable_processors();
  if (world.alone()) return usable;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ::sched_getaffinity(0, sizeof mask, &mask);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::string mine =
      concat(host.data(), " ", std::string(reinterpret_cast<const char*>(&mask), sizeof mask));
  const auto all = world.gather(mine);
  const auto sharing = std::count(all.begin(), all.end(), mine);
  // OMP_NUM_THREADS is said of one process already.
  if (wanted_processors(std::getenv("OMP_NUM_THREADS")))
    return std::min(usable, std::max<int64_t>(1, CPU_COUNT(&mask) / sharing));
  return std::max<int64_t>(1, usable / sharing);
}

Share share_of(int64_t count, int64_t rank, int64_t size) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace lotformer
