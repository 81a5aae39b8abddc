// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "command_line.h"
#include "configuration_words.h"
#include "lotformer/attention/attention.h"
#include "lotformer/bench/attention_bench.h"
#include "lotformer/bench/step_table.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/data/task.h"
#include "lotformer/train/device.h"
#include "lotformer/train/step_measurement.h"

namespace {

using namespace lotformer;

constexpr const char* kStdout = "-";

struct Arguments {
  std::vector<std::string> tasks, shapes,
      candidates = {
          "softmax",   "performer", "sinkformer",          "espformer", "espformer:inverse_temperature=0",
          "lotformer", "mean",      "lotformer:reference", "none"};
  std::vector<int64_t> lengths = {1024, 2048, 4096, 8192};
  std::string device = "auto", precision = "fp32";
  int64_t threads = 0;
  std::string json;
  bench::Request request;
  StepRequest step;
};

void add_threads_and_json(CLI::App& command, Arguments& a) {
  command.add_option("--threads", a.threads, "CPU threads; 0: all cores")
      ->type_name("N")
      ->check(CLI::Range(0, 4096));
  command
      .add_option("--json", a.json,
                  "write the report to this file as well; without a name: to stdout, no table")
      ->type_name("FILE")
      ->expected(0, 1)
      ->default_str("-");
}

void add_common(CLI::App& command, Arguments& a) {
  command
      .add_option(
          "--modules", a.candidates,
          "modules, with mode and options if wanted: softmax lotformer:reference espformer:masked,tau=1e-2")
      ->type_name("MODULE")
      ->capture_default_str();
  command.add_option("--batch", a.request.batch, "sequences in a batch")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command.add_option("--heads", a.request.heads, "attention heads")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--head-dim", a.request.head_dim, "width of one head")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--score-std", a.request.score_std, "standard deviation of the LOTFormer scores")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  command.add_option("--device", a.device, "auto, cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  command.add_option("--precision", a.precision, "of q, k, v: fp32 or bf16")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command.add_flag("--padded", a.request.padded, "ragged lengths: 5/8 of the tokens are real on average");
  command.add_option("--dropout", a.request.dropout, "on attention weights (softmax)")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  add_threads_and_json(command, a);
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (const AttentionSpec& spec : attention_specs()) names.push_back(spec.kind);
  return names;
}

void add_step(CLI::App& command, Arguments& a) {
  command.add_option("--config", a.step.config.file, "as of lotformer-train")->type_name("CONFIG");
  command.add_option("--set", a.step.config.assignments, "as of lotformer-train; again for each key")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command.add_option("--kinds", a.step.kinds, "attention modules (default: that of the configuration)")
      ->type_name("MODULE")
      ->check(CLI::IsMember(kind_names()));
  command.add_option("--rounds", a.step.rounds, "of which the median is taken")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_option("--batches", a.step.batches, "different batches, the first ones of the training")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--device", a.step.device, "auto, cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  add_threads_and_json(command, a);
}

Json measure_step_of(Arguments& a) {
  require_option(a.step.config.file, "--config", "lra/listops.yaml");
  if (a.threads > 0) a.step.config.assignments.push_back(concat("train.threads=", a.threads));
  log::info(concat("measuring training steps: a warm-up, then ", a.step.rounds, " rounds of ", a.step.batches,
                   " batches; the data first"));
  return measure_step(a.step);
}

/// A wrong name must not cost the measurement.
void require_folder(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  if (!std::filesystem::is_directory(folder))
    throw Error(ErrorKind::usage, concat("--json: there is no folder ", quoted(folder.string(), 200)));
}

void prepare(Arguments& a) {
  if (!a.json.empty() && a.json != kStdout) require_folder(a.json);
  a.request.device = parse_device(a.device);
  a.request.dtype = a.precision == "bf16" ? c10::kBFloat16 : c10::kFloat;
  wait_passively(a.threads);
  set_threads(a.threads);
  for (const std::string& text : a.candidates) a.request.candidates.push_back(bench::parse_candidate(text));
  if (a.tasks.empty() && a.shapes.empty()) return;
  a.request.settings.clear();
  for (const std::string& task : a.tasks) {
    for (const bench::Setting& setting : bench::lra_settings()) {
      if (setting.task == task) a.request.settings.push_back(setting);
    }
  }
  for (const std::string& shape : a.shapes) a.request.settings.push_back(bench::parse_shape(shape));
}

/// The command line as it can be given again, without the folder of the program.
std::string command_text(int argc, char** argv) {
  std::vector<std::string> words = {"lotformer-bench"};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    words.push_back(word.find_first_of(" \t'\"$*?;&|<>()") == std::string::npos ? word : "'" + word + "'");
  }
  return join(words, " ");
}

void add_speed(CLI::App& command, Arguments& a) {
  std::vector<std::string> names;
  for (const bench::Setting& setting : bench::lra_settings()) names.push_back(setting.task);
  command.add_option("--tasks", a.tasks, "of " + join(names, ", ") + " (default: all)")
      ->type_name("TASK")
      ->check(CLI::IsMember(names));
  command
      .add_option("--shapes", a.shapes, "TOKENSxPIVOTS at epsilon 0.1, instead of or behind --tasks: 4096x32")
      ->type_name("SHAPE");
  command.add_option("--rounds", a.request.rounds, "of which the median is taken")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
}

void add_command_examples(CLI::App& speed, CLI::App& memory, CLI::App& step) {
  add_examples(speed,
               {{"lotformer-bench attention --tasks listops --modules softmax lotformer", "two of them"},
                {"lotformer-bench attention --shapes 4096x32 --rounds 3", "tokens x pivots"}});
  add_examples(memory, {{"lotformer-bench memory --lengths 1024 2048 4096", "its growth"},
                        {"lotformer-bench memory --modules lotformer softmax --json", "for a script"}});
  add_examples(step,
               {{"lotformer-bench step --config lra/listops.yaml", "its own module"},
                {"lotformer-bench step --config lra/text.yaml --kinds softmax lotformer", "two of them"}});
}

manual::ValueWords value_words() {
  manual::ValueWords words = configuration_words({attention_kinds(), data::task_kinds()});
  words["MODULE"] = kind_names();
  return words;
}

void print(const Arguments& a, const Json& report, const std::string& table) {
  if (a.json == kStdout) {
    std::cout << to_line(report) << std::endl;
    return;
  }
  if (!a.json.empty()) write_atomic(a.json, to_pretty_text(report));
  std::cout << table << std::flush;
}

}  // namespace

int main(int argc, char** argv) {
  return lotformer::run_torch_program("lotformer-bench", [&]() -> int {
    Arguments a;
    CLI::App app("Measures attention modules beside each other, and whole training steps.",
                 "lotformer-bench");
    app.require_subcommand(1);
    auto& speed = *app.add_subcommand(
        "attention", "time of forward and of forward and backward at the settings of the tasks");
    auto& memory =
        *app.add_subcommand("memory", "peak extra memory of forward and backward over the sequence length");
    auto& step = *app.add_subcommand(
        "step", "one training step: time, operators launched, bytes moved, values read back");
    for (CLI::App* command : {&speed, &memory}) add_common(*command, a);
    add_step(step, a);
    add_speed(speed, a);
    memory.add_option("--lengths", a.lengths, "tokens, ascending")
        ->check(CLI::Range(1, 1 << 24))
        ->capture_default_str();
    add_examples(app, {{"lotformer-bench attention --tasks listops", "half a minute on a CPU"},
                       {"lotformer-bench memory --lengths 1024 2048 4096", "how it grows"},
                       {"lotformer-bench step --config lra/listops.yaml", "a whole training step"}});
    add_command_examples(speed, memory, step);
    if (const auto code = parse_command_line(app, argc, argv, value_words)) return *code;
    prepare(a);
    Json report = speed.parsed()  ? bench::bench_attention(a.request)
                  : step.parsed() ? measure_step_of(a)
                                  : bench::bench_memory(a.request, a.lengths);
    report["command"] = command_text(argc, argv);
    print(a, report,
          speed.parsed()  ? bench::attention_table(report)
          : step.parsed() ? bench::step_table(report)
                          : bench::memory_table(report));
    return 0;
  });
}
