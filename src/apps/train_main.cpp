// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <iostream>

#include "command_line.h"
#include "configuration_words.h"
#include "lotformer/attention/attention.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/data/task.h"
#include "lotformer/mpi/open_world.h"
#include "lotformer/mpi/start_processes.h"
#include "lotformer/train/device.h"
#include "lotformer/train/launch.h"

namespace {

/// Before it meets the others a process does what would have it start anew later.
std::shared_ptr<const lotformer::World> enter_world(int64_t patience) {
  using namespace lotformer;
  if (started_by_launcher()) wait_passively(0);
  auto world = open_world(std::chrono::seconds(patience));
  if (!world->leads()) log::set_level(log::Level::error);
  return world;
}

}  // namespace

int main(int argc, char** argv) {
  return lotformer::run_torch_program("lotformer-train", [&]() -> int {
    using namespace lotformer;
    CLI::App app("Trains a model on a Long Range Arena task and scores it.", "lotformer-train");
    TrainRequest request;
    bool json = false, print = false;
    std::string help_style, devices;
    int64_t patience = 600;
    app.add_option("--config", request.config.file,
                   "YAML file: as given, then in the config folder, then in $LOTFORMER_CONFIG_DIR")
        ->type_name("CONFIG");
    app.add_option("--set", request.config.assignments,
                   "a key of the configuration, for instance train.steps=500; again for each key")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("--device", request.device, "auto, cpu, cuda or cuda:N")
        ->type_name("DEVICE")
        ->capture_default_str();
    app.add_option(
           "--devices", devices,
           "train one model on so many processes of this machine, or on all its GPUs (through mpirun)")
        ->type_name("N|all");
    app.add_option("--patience", patience,
                   "of several processes: seconds that one waits for another before it gives up")
        ->type_name("SECONDS")
        ->check(CLI::Range(int64_t{1}, int64_t{86400}))
        ->capture_default_str();
    app.add_option("--run-dir", request.run_dir,
                   "where the run is kept (default: below runs/, named after the configuration)")
        ->type_name("DIR");
    app.add_option("--resume", request.resume, "auto, must, never, or the path of a checkpoint or run")
        ->type_name("HOW")
        ->capture_default_str();
    app.add_option("--init-from", request.init_from,
                   "begin a new run (--run-dir) with the weights of this checkpoint or run")
        ->type_name("RUN");
    app.add_flag(
        "--extend", request.extend,
        "the run in --run-dir goes on to more train.steps, at the learning rates of a run of that length");
    app.add_option("--profile", request.profile,
                   "trace the steps A..B into RUN/profile (for ui.perfetto.dev), and say where the time went")
        ->type_name("A..B");
    app.add_flag("--dry-run", request.dry_run,
                 "build everything, one batch forward and backward, print parameters and memory");
    app.add_flag("--print-config", print,
                 "print the resolved configuration with the origin of each value, and stop");
    app.add_option("--help-config", help_style,
                   "print every configuration key (text, or --help-config=markdown), and stop")
        ->type_name("FORM")
        ->expected(0, 1)
        ->default_str("text");
    app.add_flag("--json", json, "print one JSON object (the results) on stdout and nothing else there");
    add_examples(app, {{"lotformer-train --config lra/listops.yaml", "official size"},
                       {"lotformer-train --config lra/text.yaml --set model.attention.kind=performer",
                        "another module"},
                       {"lotformer-train --config lra/image.yaml --dry-run", "does it fit?"},
                       {"lotformer-train --config lra/image.yaml --devices 4", "four processes"}});
    const Kinds kinds = {attention_kinds(), data::task_kinds()};
    const auto words = [&kinds] { return configuration_words(kinds); };
    if (const auto code = parse_command_line(app, argc, argv, words)) return *code;
    // Never taken down: a signal while the libraries clean up after a finished run is answered like any
    // other.
    static const StopSignals* const to_the_end = new StopSignals(
        StopSignals::Ignored::take, StopSignals::Then::leave, "nothing is lost, the same command goes on");
    static_cast<void>(to_the_end);

    if (app.count("--help-config") > 0) {
      if (json || (!help_style.empty() && help_style != "text" && help_style != "markdown")) {
        throw Error(ErrorKind::usage, "--help-config prints text or markdown, nothing else");
      }
      std::cout << (help_style == "markdown" ? config_markdown(kinds) : help_config(kinds));
      return 0;
    }
    require_option(request.config.file, "--config", "lra/listops.yaml");
    if (print) {
      std::cout << (json ? to_line(config_to_json(load_config(request.config, kinds))) + "\n"
                         : print_config(request.config, kinds));
      return 0;
    }
    if (request.dry_run && (started_by_launcher() || !devices.empty()))
      throw Error(ErrorKind::usage,
                  "--dry-run tries the whole batch in one process: start one, without --devices");
    if (!devices.empty()) {
      if (const auto code = start_processes(devices, request.device)) return *code;
    }
    if (!request.dry_run) request.world = enter_world(patience);
    const Json results = request.dry_run ? dry_run(request) : launch_training(request);
    if (results.is_null()) return 0;  // the first of several processes has them
    if (json) {
      std::cout << to_line(results) << std::endl;
    } else if (!request.dry_run) {
      std::cout << summarise_results(results);
    }
    return 0;
  });
}
