// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <iostream>

#include "command_line.h"
#include "configuration_words.h"
#include "lotformer/attention/attention.h"
#include "lotformer/core/program.h"
#include "lotformer/data/task.h"
#include "lotformer/train/device.h"
#include "lotformer/train/evaluation.h"

int main(int argc, char** argv) {
  return lotformer::run_torch_program("lotformer-eval", [&]() -> int {
    using namespace lotformer;
    CLI::App app("Scores a checkpoint.", "lotformer-eval");
    EvaluationRequest request;
    bool json = false;
    std::string path;
    app.add_option("RUN_OR_CHECKPOINT", path,
                   "a run folder (its best checkpoint, else the last) or a checkpoint folder")
        ->type_name("RUN");
    app.add_option("--checkpoint", request.checkpoint, "best or last, of a run folder")->type_name("WHICH");
    app.add_option("--split", request.split, "val or test")->type_name("SPLIT")->capture_default_str();
    app.add_option("--set", request.assignments,
                   "a key on top of the recorded configuration, for instance data.root=DIR")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("--device", request.device, "auto, cpu, cuda or cuda:N")
        ->type_name("DEVICE")
        ->capture_default_str();
    app.add_option("--predictions", request.predictions,
                   "write row, label, prediction, probabilities and logits to this file (TSV)")
        ->type_name("FILE");
    std::string plans;
    app.add_option("--plans", plans,
                   "write the transport plans of chosen examples to this file (.json or .safetensors; "
                   "lotformer only)")
        ->type_name("FILE");
    const auto* plan_rows =
        app.add_option("--plan-rows", request.plans.rows, "examples of --plans: rows of the split")
            ->type_name("N,N")
            ->delimiter(',')
            ->allow_extra_args(false)
            ->capture_default_str();
    const auto* plan_layers =
        app.add_option("--plan-layers", request.plans.layers, "layers of --plans (default: all)")
            ->type_name("N,N")
            ->delimiter(',')
            ->allow_extra_args(false);
    const auto* plan_heads =
        app.add_option("--plan-heads", request.plans.heads, "heads of --plans (default: all)")
            ->type_name("N,N")
            ->delimiter(',')
            ->allow_extra_args(false);
    app.add_flag("--for-report", request.for_report,
                 "write predictions and one example's plans to RUN/evaluation, for lotformer-report");
    app.add_flag("--json", json, "print one JSON object on stdout and nothing else there");
    add_examples(app,
                 {{"lotformer-eval runs/my-run --split test", "its best checkpoint"},
                  {"lotformer-eval runs/my-run --for-report", "what lotformer-report draws"},
                  {"lotformer-eval runs/my-run --plans plans.json --plan-rows 0,5,7", "transport plans"}});
    const auto words = [] {
      auto known = configuration_words({attention_kinds(), data::task_kinds()});
      known["SPLIT"] = {"val", "test"};
      known["WHICH"] = {"best", "last"};
      return known;
    };
    if (const auto code = parse_command_line(app, argc, argv, words)) return *code;
    require_option(path, "RUN_OR_CHECKPOINT", "lotformer-eval runs/my-run");
    request.path = path;
    request.plans.file = plans;
    if (plans.empty() && (plan_rows->count() > 0 || plan_layers->count() > 0 || plan_heads->count() > 0))
      throw Error(ErrorKind::usage,
                  "--plan-rows, --plan-layers and --plan-heads choose what --plans FILE writes");
    const Json evaluation = launch_evaluation(request);
    std::cout << (json ? to_line(evaluation) + "\n" : describe_evaluation(evaluation));
    return 0;
  });
}
