// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <iostream>

#include "apps/doctor/checks.h"
#include "command_line.h"
#include "lotformer/core/data_options.h"
#include "lotformer/core/program.h"
#include "lotformer/train/device.h"

int main(int argc, char** argv) {
  return lotformer::run_torch_program("lotformer-doctor", [&]() -> int {
    using namespace lotformer;
    CLI::App app(
        "Looks at build, machine, disks, data and attention modules, in about ten seconds: a verdict a line "
        "(ok, warning, problem), and exit code 1 where there is a problem.",
        "lotformer-doctor");
    std::string root = DataOptions{}.root, runs = "runs", device_text = "auto";
    int64_t threads = 0;
    bool json = false;
    app.add_option("--root", root, "data folder, as data.root")->type_name("DIR")->capture_default_str();
    app.add_option("--runs", runs, "folder that runs go to")->type_name("DIR")->capture_default_str();
    app.add_option("--device", device_text, "auto, cpu, cuda or cuda:N")
        ->type_name("DEVICE")
        ->capture_default_str();
    app.add_option("--threads", threads, "CPU threads; 0: all that may be used")->check(CLI::Range(0, 4096));
    app.add_flag("--json", json, "print one JSON object on stdout and nothing else there");
    add_examples(app, {{"lotformer-doctor", "here"},
                       {"lotformer-doctor --root /data/lra --runs /scratch/runs --device cuda --json",
                        "for a script"}});
    const auto words = [] { return manual::ValueWords{{"DEVICE", device_words()}}; };
    if (const auto code = parse_command_line(app, argc, argv, words)) return *code;

    wait_passively(threads);
    set_threads(threads);
    doctor::Report report;
    const c10::Device device = doctor::find_device(report, device_text);
    doctor::check_build(report);
    doctor::check_host(report);
    doctor::check_device(report, device);
    doctor::check_processes(report, device);
    doctor::check_disks(report, runs, root);
    doctor::check_data(report, root);
    doctor::check_attention(report, device);
    std::cout << (json ? to_line(report.json()) + "\n" : report.text());
    return report.exit_code();
  });
}
