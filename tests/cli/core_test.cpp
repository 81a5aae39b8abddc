// SPDX-License-Identifier: MIT
// The CPU core in training: the same run through core: aten and core: cpu.
#include <cmath>
#include <cstring>

#include "cli/support.h"
#include "lotformer/core/safetensors.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

/// Two layers of two heads of 32 on small ListOps, a line of metrics a step.
fs::path train(const fs::path& folder, const std::string& core, const std::vector<std::string>& settings) {
  const fs::path path = folder / core;
  std::vector<std::string> more = {"--set", "model.attention.core=" + core};
  for (const char* setting :
       {"model.layers=2", "model.dim=64", "model.ff_dim=128", "model.attention.pivots=8",
        "train.batch_size=32", "train.log_every=1", "train.warmup_steps=0", "eval.max_examples=8"})
    more.insert(more.end(), {"--set", setting});
  for (const std::string& setting : settings) more.insert(more.end(), {"--set", setting});
  const Finished done = run(train_command(path, more));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return path;
}

std::vector<Json> training_lines(const fs::path& run_folder) {
  std::vector<Json> lines;
  for (Json& line : read_lines(run_folder / "metrics.jsonl")) {
    if (line.at("split") == "train") lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<float> numbers(const TensorView& tensor) {
  REQUIRE(tensor.dtype == "F32");
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

double norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("the gradients of the first step are those of the ATen path", "[cli]") {
  const TemporaryFolder folder;
  const std::vector<std::string> settings = {"train.steps=1", "model.attention.tolerance=1e-6"};
  // After one step AdamW's first moment is (1 - beta1) times the gradient.
  const auto moments = [&](const std::string& core) {
    return SafetensorsFile(newest_checkpoint(train(folder.path(), core, settings)) / "optimizer.safetensors",
                           ErrorKind::data);
  };
  const SafetensorsFile aten = moments("aten"), cpu = moments("cpu");
  double largest = 0;
  for (const auto& [name, tensor] : aten.tensors()) {
    if (name.rfind("exp_avg.", 0) == 0) largest = std::max(largest, norm(numbers(tensor)));
  }
  int compared = 0;
  for (const auto& [name, tensor] : aten.tensors()) {
    if (name.rfind("exp_avg.", 0) != 0) continue;
    const std::vector<float> expected = numbers(tensor), found = numbers(cpu.tensor(name));
    REQUIRE(found.size() == expected.size());
    std::vector<float> difference(expected.size());
    for (size_t i = 0; i < expected.size(); ++i) difference[i] = found[i] - expected[i];
    INFO(name << ": norm " << norm(expected) << ", difference " << norm(difference));
    // Small gradients (of the masses, say) are sums of large terms: they carry the rounding of those.
    CHECK(norm(difference) <= 1e-4 * norm(expected) + 1e-6 * largest);
    ++compared;
  }
  CHECK(compared > 20);
}

TEST_CASE("fifty steps of training lose what the ATen path loses, within 1e-4", "[cli]") {
  const TemporaryFolder folder;
  // At a looser tolerance a problem close to it takes one pass more on one of the paths, whichever that is on
  // the processor at hand, and training enlarges what that makes of the plan.
  const std::vector<std::string> settings = {"train.steps=50", "model.attention.tolerance=1e-6"};
  const auto aten = training_lines(train(folder.path(), "aten", settings)),
             cpu = training_lines(train(folder.path(), "cpu", settings));
  REQUIRE(aten.size() == 50);
  REQUIRE(cpu.size() == 50);
  for (size_t i = 0; i < aten.size(); ++i) {
    const double expected = aten[i].at("loss").get<double>(), found = cpu[i].at("loss").get<double>();
    INFO("step " << i + 1 << ": " << expected << " and " << found);
    CHECK(std::abs(found - expected) <= 1e-4);
  }
  CHECK(aten.back().at("loss").get<double>() < aten.front().at("loss").get<double>() - 0.05);
}
