// SPDX-License-Identifier: MIT
#include "agreement.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <vector>

#include "lotformer/config/load.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"

namespace lotformer {
namespace {

constexpr size_t kNamedKeys = 5;

/// "train.lr is 0.1 and 0.2 there"
std::string differences(const Json& mine, const Json& theirs) {
  const Json here = mine.flatten(), there = theirs.flatten();
  std::vector<std::string> found;
  const auto look = [&](const Json& one, const Json& other, bool both) {
    for (const auto& [path, value] : one.items()) {
      if (path == "/data/root" || (other.contains(path) && (!both || other.at(path) == value))) continue;
      std::string key = path.substr(1);
      std::replace(key.begin(), key.end(), '/', '.');
      const Json* mine_value = here.contains(path) ? &here.at(path) : nullptr;
      const Json* their_value = there.contains(path) ? &there.at(path) : nullptr;
      found.push_back(concat(key, " is ", mine_value ? to_line(*mine_value) : "absent", " and ",
                             their_value ? to_line(*their_value) : "absent", " there"));
    }
  };
  look(here, there, true);
  look(there, here, false);
  if (found.size() > kNamedKeys) {
    const size_t more = found.size() - kNamedKeys;
    found.resize(kNamedKeys);
    found.push_back(concat("and ", more, " more"));
  }
  return join(found, "; ");
}

void require_for_several(const World& world, const Config& config) {
  if (world.alone()) return;
  const TrainConfig& train = config.train;
  if (train.batch_size < world.size())
    throw Error(ErrorKind::usage, concat("train.batch_size ", train.batch_size, " is the batch of all ",
                                         world.size(), " processes, and each needs an example of it"));
  if (train.microbatch == "auto")
    throw Error(ErrorKind::usage,
                "train.microbatch=auto finds out what fits into the memory of one process; with several say "
                "train.accumulate");
  if (train.graph == "on")
    throw Error(ErrorKind::usage, "train.graph=on: steps of several processes are not recorded; say auto");
}

}  // namespace

void require_same_experiment(const World& world, const Config& config) {
  if (world.alone()) return;
  require_same(world, "the build", build_id());
  const Json mine = config_to_json(config);
  const auto all = world.gather(to_line(mine));
  agree(world, [&] {
    const std::string other = differences(mine, Json::parse(all[0]));
    if (!other.empty())
      throw Error(ErrorKind::usage, concat("the configuration of ", world.name(world.rank()),
                                           " is not that of ", world.name(0), ": ", other));
    require_for_several(world, config);
  });
}

c10::Device device_of(const World& world, const std::string& text) {
  if (world.alone() || world.local_size() == 1) return parse_device(text);
  const bool own = text == "cuda" || (text == "auto" && at::hasCUDA());
  // One that is alone may be this process's own: batch systems show each task its GPU only.
  if (own && at::detail::getCUDAHooks().deviceCount() == 1) return parse_device("cuda:0");
  if (own) return parse_device(concat("cuda:", world.local_rank()));
  if (text.rfind("cuda:", 0) == 0)
    throw Error(ErrorKind::usage, concat("--device ", text, ": ", world.local_size(),
                                         " processes of this machine cannot share a device; say cuda, which "
                                         "gives each its own"));
  return parse_device(text);
}

}  // namespace lotformer
