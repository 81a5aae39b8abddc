// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <iostream>

#include "lotformer/apps/command_line.h"
#include "lotformer/bench/attention_bench.h"
#include "lotformer/core/error.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"

namespace {

using namespace lotformer;

struct Arguments {
  std::vector<std::string> tasks,
      candidates = {"softmax", "performer", "sinkformer", "espformer", "lotformer", "lotformer:reference"};
  std::vector<int64_t> lengths = {1024, 2048, 4096, 8192};
  std::string device = "auto", precision = "fp32";
  int64_t threads = 0;
  bool json = false;
  bench::Request request;
};

void add_common(CLI::App& command, Arguments& a) {
  command
      .add_option("--modules", a.candidates, "modules, with a mode if wanted: softmax lotformer:reference")
      ->capture_default_str();
  command.add_option("--batch", a.request.batch, "sequences in a batch")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command.add_option("--heads", a.request.heads)->check(CLI::Range(1, 4096))->capture_default_str();
  command.add_option("--head-dim", a.request.head_dim)->check(CLI::Range(1, 4096))->capture_default_str();
  command.add_option("--score-std", a.request.score_std, "standard deviation of the LOTFormer scores")
      ->capture_default_str();
  command.add_option("--device", a.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--precision", a.precision, "of q, k, v: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command.add_option("--threads", a.threads, "CPU threads; 0: all cores")->check(CLI::Range(0, 4096));
  command.add_flag("--json", a.json, "one JSON object on stdout instead of a table");
}

void prepare(Arguments& a) {
  a.request.device = parse_device(a.device);
  a.request.dtype = a.precision == "bf16" ? c10::kBFloat16 : c10::kFloat;
  set_threads(a.threads);
  for (const std::string& text : a.candidates) a.request.candidates.push_back(bench::parse_candidate(text));
  if (a.tasks.empty()) return;
  a.request.settings.clear();
  for (const std::string& task : a.tasks) {
    for (const bench::Setting& setting : bench::lra_settings()) {
      if (setting.task == task) a.request.settings.push_back(setting);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return lotformer::run_torch_program("lotformer-bench", [&]() -> int {
    Arguments a;
    CLI::App app(
        "Measures attention modules beside each other. Example: lotformer-bench attention --tasks listops");
    app.set_version_flag("--version", build_id());
    app.require_subcommand(1);
    auto& speed = *app.add_subcommand(
        "attention", "time of forward and of forward and backward at the settings of the tasks");
    auto& memory =
        *app.add_subcommand("memory", "peak extra memory of forward and backward over the sequence length");
    for (CLI::App* command : {&speed, &memory}) add_common(*command, a);
    std::vector<std::string> names;
    for (const bench::Setting& setting : bench::lra_settings()) names.push_back(setting.task);
    speed.add_option("--tasks", a.tasks, "of " + join(names, ", ") + " (default: all)")
        ->check(CLI::IsMember(names));
    speed.add_option("--rounds", a.request.rounds, "of which the median is taken")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    memory.add_option("--lengths", a.lengths, "tokens, ascending")
        ->check(CLI::Range(1, 1 << 24))
        ->capture_default_str();
    if (const auto code = parse_command_line(app, argc, argv)) return *code;
    prepare(a);
    const Json report =
        speed.parsed() ? bench::bench_attention(a.request) : bench::bench_memory(a.request, a.lengths);
    if (a.json) {
      std::cout << to_line(report) << std::endl;
    } else {
      std::cout << (speed.parsed() ? bench::attention_table(report) : bench::memory_table(report));
    }
    return 0;
  });
}
