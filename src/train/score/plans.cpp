// SPDX-License-Identifier: MIT
#include "plans.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

#include "evaluation_mode.h"
#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/core/text.h"
#include "lotformer/model/capabilities.h"
#include "plan_file.h"
#include "train/feed/loader.h"
#include "train/inspect/diagnostics.h"

namespace lotformer {
namespace {

void require_each_below(const std::vector<int64_t>& numbers, int64_t end, const char* option,
                        const std::string& what) {
  for (const int64_t number : numbers) {
    if (number < 0 || number >= end)
      throw Error(ErrorKind::usage,
                  concat(option, ": ", number, " is not one of the ", end, " ", what, " (from 0)"));
  }
}

void require_none_twice(std::vector<int64_t> numbers, const char* option) {
  std::sort(numbers.begin(), numbers.end());
  const auto twice = std::adjacent_find(numbers.begin(), numbers.end());
  if (twice != numbers.end()) throw Error(ErrorKind::usage, concat(option, ": ", *twice, " is named twice"));
}

std::vector<int64_t> chosen(const std::vector<int64_t>& numbers, int64_t end) {
  if (!numbers.empty()) return numbers;
  std::vector<int64_t> all(static_cast<size_t>(end));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

/// Columns to keep: the real tokens, or all where padding has mass (mode reference).
int64_t columns(const TransportPlans& plans, int64_t length) {
  const int64_t width = plans.query.size(-1);
  for (const at::Tensor& plan : {plans.query, plans.key}) {
    if (length < width && plan.narrow(-1, length, width - length).ne(0).any().item<bool>()) return width;
  }
  return length;
}

/// Plans [S, heads chosen, r, N] of one example, its S sequences side by side, for every chosen layer.
std::vector<TransportPlans> layer_plans(Session& session, const std::vector<LayerScores>& scores,
                                        const PlanFileInfo& info) {
  const std::vector<HasPlans*> planners = layers_as<HasPlans>(session.model->encoder());
  std::vector<TransportPlans> result;
  for (const int64_t layer : info.layers) {
    const LayerScores& seen = scores[static_cast<size_t>(layer)];
    const HasPlans* planner = planners[static_cast<size_t>(layer)];
    if (planner == nullptr) {
      throw Error(ErrorKind::usage, concat("--plans: attention ", attention_name(session.config),
                                           " has no transport plans; lotformer has"));
    }
    const TransportPlans plans =
        planner->transport_plans(seen.q.to(at::kFloat), seen.k.to(at::kFloat), seen.lengths);
    const at::Tensor heads = at::tensor(info.heads, at::kLong).to(plans.query.device());
    result.push_back(
        {plans.query.index_select(1, heads).to(at::kCPU), plans.key.index_select(1, heads).to(at::kCPU)});
  }
  return result;
}

PlannedExample plan_example(Session& session, const data::Dataset& dataset, int64_t row,
                            const PlanFileInfo& info) {
  const std::vector<int64_t> rows = {row};
  const Batch batch = make_batch(dataset, rows, session.config.data.pad_to, session.device);
  const Observation seen = observe_scores(session, batch);
  const std::vector<TransportPlans> plans = layer_plans(session, seen.layers, info);
  SolverTally tally;
  tally.add(*session.model);  // of the pass that has just been made, by the same solver as the plans
  PlannedExample example{row, dataset.label(row), seen.logits.argmax(1).item<int64_t>(), tally.count(), {}};
  if (example.transport) warn_if_alarming(concat("--plans, row ", row), *example.transport);
  for (int64_t s = 0; s < dataset.sequences(); ++s) {
    PlannedSequence sequence;
    int64_t width = dataset.length(row, s);
    for (const TransportPlans& layer : plans)
      width = std::max(width, columns({layer.query[s], layer.key[s]}, dataset.length(row, s)));
    const auto cut = [width](const at::Tensor& x) { return x.narrow(-1, 0, width).cpu().contiguous(); };
    sequence.ids = cut(batch.ids[s][0]);
    if (batch.positions.defined()) sequence.positions = cut(batch.positions[s][0]);
    for (const TransportPlans& layer : plans)
      sequence.layers.push_back({cut(layer.query[s]), cut(layer.key[s])});
    example.sequences.push_back(std::move(sequence));
  }
  return example;
}

}  // namespace

void check_plan_request(const PlanRequest& request) {
  if (request.file.empty()) return;
  const auto folder = request.file.parent_path();
  const std::string ending = request.file.extension().string();
  if (ending != ".json" && ending != ".safetensors")
    throw Error(ErrorKind::usage, "--plans: " + request.file.string() + " must end in .json or .safetensors");
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw Error(ErrorKind::usage, "--plans: there is no folder " + folder.string());
  if (std::filesystem::is_directory(request.file))
    throw Error(ErrorKind::usage, "--plans: " + request.file.string() + " is a folder; name a file");
  if (request.rows.empty()) throw Error(ErrorKind::usage, "--plan-rows: at least one row");
  require_none_twice(request.rows, "--plan-rows");
  require_none_twice(request.layers, "--plan-layers");
  require_none_twice(request.heads, "--plan-heads");
}

void export_plans(Session& session, const data::Dataset& dataset, const PlanRequest& request,
                  const Json& about) {
  const at::NoGradGuard no_grad;
  const EvaluationMode mode(*session.model);
  const ModelConfig& model = session.config.model;
  require_each_below(request.rows, dataset.size(), "--plan-rows", "examples of the split");
  require_each_below(request.layers, model.layers, "--plan-layers", "layers");
  require_each_below(request.heads, model.heads, "--plan-heads", "heads");
  const PlanFileInfo info{
      about,        session.task->class_names(),          session.task->vocabulary(),
      request.rows, chosen(request.layers, model.layers), chosen(request.heads, model.heads)};
  const auto example = [&](int64_t row) { return plan_example(session, dataset, row, info); };
  if (request.file.extension() == ".safetensors") {
    write_plans_safetensors(request.file, info, example);
  } else {
    write_plans_json(request.file, info, example);
  }
}

}  // namespace lotformer
