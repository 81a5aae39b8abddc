// SPDX-License-Identifier: MIT
#include "evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evaluation_mode.h"
#include "lotformer/core/error.h"
#include "lotformer/ops/autocast.h"
#include "scored_batches.h"

namespace lotformer {
namespace {

int64_t examples_to_score(const EvalConfig& config, int64_t available) {
  int64_t count = config.max_examples > 0 ? std::min(config.max_examples, available) : available;
  if (config.drop_last) count -= count % config.batch_size;
  return count;
}

/// Rows to score, ascending. A part of a split is taken at equal distances: official files are sorted by
/// class (all negative reviews first), so that the first rows would be of one class. With drop_last it is the
/// end of the file that is left out.
std::vector<int64_t> rows_to_score(const EvalConfig& config, int64_t count, int64_t available) {
  const bool part = config.max_examples > 0 && config.max_examples < available;
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = part ? i * available / count : i;
  return rows;
}

std::vector<int64_t> evaluation_order(const data::Dataset& dataset, std::vector<int64_t> rows,
                                      bool by_length) {
  if (by_length) {
    std::stable_sort(rows.begin(), rows.end(),
                     [&](int64_t a, int64_t b) { return dataset.length(a) > dataset.length(b); });
  }
  return rows;
}

/// Batches were formed by length; results stand in the order of the split.
void sort_by_row(EvalResult& result) {
  std::vector<int64_t> order(result.predictions.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto row = [&](int64_t i) { return result.predictions[static_cast<size_t>(i)].row; };
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return row(a) < row(b); });
  std::vector<Prediction> sorted;
  for (const int64_t i : order) sorted.push_back(result.predictions[static_cast<size_t>(i)]);
  result.predictions = std::move(sorted);
  result.logits = result.logits.index_select(0, at::tensor(order, at::kLong));
}

}  // namespace

std::optional<EvalResult> evaluate(Session& s, const BatchMaker& split,
                                   const std::function<bool()>& interrupted) {
  const data::Dataset& dataset = split.dataset();
  const EvalConfig& config = s.config.eval;
  EvalResult result;
  result.available = dataset.size();
  result.examples = examples_to_score(config, dataset.size());
  if (result.examples == 0)
    throw Error(
        ErrorKind::usage,
        "evaluation: no example is left to score (eval.drop_last with a split smaller than eval.batch_size)");
  const std::vector<int64_t> rows =
      evaluation_order(dataset, rows_to_score(config, result.examples, dataset.size()), !config.drop_last);
  const EvaluationMode mode(*s.model);
  const at::NoGradGuard no_grad;
  const ops::AutocastScope autocast(s.device.type(), autocast_type(s.precision));

  ScoredBatches scored;
  SolverTally tally;
  const int64_t batches = (result.examples + config.batch_size - 1) / config.batch_size;
  const auto rows_of = [&rows, size = config.batch_size](int64_t number) {
    const auto begin = rows.begin() + number * size;
    return std::vector(begin, begin + std::min(size, rows.end() - begin));  // the last batch may be smaller
  };
  // One batch after the other goes to one process after the other, so that each has some of every length.
  const World& world = *s.world;
  const auto mine = [&world](int64_t turn) { return turn * world.size() + world.rank(); };
  const int64_t turns = (batches + world.size() - 1) / world.size();
  const int64_t own = mine(turns - 1) < batches ? turns : turns - 1;
  BatchStream stream(
      split, [&](int64_t turn) { return rows_of(mine(turn)); }, 0, own, s.config.data.prefetch);
  for (int64_t turn = 0; turn < turns; ++turn) {
    if (any(world, interrupted())) return std::nullopt;
    if (turn >= own) continue;
    const Batch batch = stream.next().batch;
    const at::Tensor logits = s.model->forward(batch);
    tally.add(*s.model);
    scored.add(logits, batch.labels);
  }
  const ScoredBatches::All all = scored.gather(world);
  int64_t correct = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto prediction = static_cast<int32_t>(all.classes.const_data_ptr<int64_t>()[i]);
    const auto label = static_cast<int32_t>(dataset.label(rows[i]));
    result.predictions.push_back({rows[i], label, prediction});
    correct += prediction == label ? 1 : 0;
  }
  result.logits = all.logits;
  sort_by_row(result);
  result.transport = tally.over(world, s.device).count();
  result.loss = all.loss / static_cast<double>(rows.size());
  result.accuracy = static_cast<double>(correct) / static_cast<double>(rows.size());
  if (!std::isfinite(result.loss)) throw Error(ErrorKind::numerics, "evaluation: the loss is not finite");
  return result;
}

}  // namespace lotformer
