// SPDX-License-Identifier: MIT
#include "lotformer/train/launch.h"

#include <algorithm>
#include <optional>

#include "begin.h"
#include "lotformer/attention/attention.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "train/run/results.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "train/world/agreement.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

/// The results of a run that has ended. A file that is not whole counts as absent: the scores can be computed
/// again from the checkpoints. Results whose checkpoints were deleted to save space are results.
std::optional<Json> finished_results(const RunFolder& run, const RunStart& start, const Config& config) {
  if (!start.ours || !fs::exists(run.results_file())) return std::nullopt;
  if (start.checkpoint && start.checkpoint->step < config.train.steps) return std::nullopt;
  try {
    Json results = read_json(run.results_file(), ErrorKind::checkpoint);
    summarise_results(results);  // asks for every member that a reader needs
    // Spelt out: with nlohmann_json before 3.11 a Json converts to optional<Json> in two ways.
    if (results.at("steps") == config.train.steps) return std::make_optional<Json>(std::move(results));
  } catch (const std::exception&) {
    log::warning(run.results_file().string() +
                 ": is not a whole results file; the scores are computed again");
  }
  return std::nullopt;
}

void describe_split(const char* name, const data::Dataset& split) {
  log::info(concat(name, ": ", format_count(split.size()), " examples",
                   split.cut_examples() > 0 ? concat(", ", split.cut_examples(), " cut to max_length") : ""));
}

/// What a checkpoint records beside the experiment: none of it forbids a resume, all of it may change
/// results.
void warn_about_differences(const Checkpoint& start, const Session& s) {
  const auto compare = [&](const char* key, const Json& now, const char* consequence) {
    const Json was = start.state.value(key, now);
    if (was == now) return;
    log::warning(concat("the checkpoint was made with ", key, " ", to_line(was), ", now ", to_line(now), ": ",
                        consequence));
  };
  compare("threads", s.threads, "the last bits of results will differ");
  compare("processes", s.world->size(), "the last bits of results will differ");
  compare("device", device_name(s.device), "the last bits of results will differ");
  compare("precision", s.precision, "the rest of the run is trained in other arithmetic");
  compare("build_id", build_id(), "another program may compute otherwise");
}

/// Test and validation with the best weights, then with the last; leaves the last in the model.
FinalScores final_scores(Trainer& trainer, Session& s, const RunFolder& run, const data::Dataset& test,
                         const ConstantPredictor& constant) {
  const auto use = [&](int64_t step) {
    const Checkpoint c = run.checkpoint(step);
    load_parameters(*s.model, c.model, c.path.string());
  };
  trainer.look_at_best();
  trainer.save();  // what results name is what the last checkpoint names
  const Score best = *trainer.state().best, last = *trainer.state().last;
  FinalScores scores{best,
                     last,
                     {},
                     {},
                     constant,
                     trainer.state().lost_best,
                     trainer.state().nonfinite,
                     trainer.state().chunks};
  use(best.step);
  scores.best_test = trainer.score(test, "test", "best", best.step);
  if (best.step == last.step) {
    scores.last_test = scores.best_test;
  } else {
    use(last.step);
    scores.last_test = trainer.score(test, "test", "last", last.step);
  }
  return scores;
}

void require_data_of_run(const RunFolder& run, const RunStart& start, const Session& s) {
  if (start.ours) require_same_data(run.root().string(), start.mark.fingerprints, s.fingerprints);
  if (!start.checkpoint) return;
  require_same_data(start.checkpoint->path.string(),
                    start.checkpoint->state.value("data_fingerprints", Json::object()), s.fingerprints);
}

/// What becomes of the learning rate of a run that is made longer.
void say_extension(const RunStart& start, const Config& config, double lr_factor) {
  if (!start.extended_from) return;
  TrainConfig before = config.train;
  before.steps = *start.extended_from;
  const int64_t step = start.checkpoint ? start.checkpoint->step : 0;
  log::info(concat(
      "extended from ", before.steps, " to ", config.train.steps, " steps: at step ", step,
      " the learning rate goes from ",
      format_double(lr_factor * config.train.lr * lr_multiplier(before, std::max<int64_t>(step - 1, 0))),
      " to ", format_double(lr_factor * config.train.lr * lr_multiplier(config.train, step)),
      ", as in a run of the new length"));
}

/// The trainer at the place where the run goes on.
void restore(Trainer& trainer, const RunFolder& run, const RunStart& start,
             const std::optional<Checkpoint>& weights, Session& s) {
  if (!start.checkpoint) {
    if (start.ours)
      log::warning(concat(run.root().string(), ": holds no checkpoint: the run begins again at step 0"));
    if (weights) take_parameters(*s.model, weights->model, weights->path.string());
    return trainer.start_afresh();
  }
  warn_about_differences(*start.checkpoint, s);
  agree(*s.world, [&] { trainer.restore(*start.checkpoint); });
  trainer.look_at_best();
  lead(*s.world, [&] { run.set_aside_newer_than(start.checkpoint->step); });
  say_extension(start, s.config, trainer.state().nonfinite.lr_factor);
  log::info(concat("resuming at step ", start.checkpoint->step, " from ", start.checkpoint->path.string()));
}

Json train(const TrainRequest& request) {
  const World& world = *request.world;
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  Plan plan;
  agree(world, [&] { plan = make_plan(request, kinds); });
  const Config& config = plan.config;
  require_same_experiment(world, config);
  const RunFolder run(request.run_dir.empty() ? default_run_dir(config) : request.run_dir);
  // Nothing is written before everything has been looked at, so that a refused start leaves no trace.
  std::optional<FileLock> lock;
  RunStart start = find_start_together(request, run, config, lock);
  Session session = open_session_together(request, plan);
  announce(session, run.root());
  const Splits splits = open_splits_together(session);
  require_data_of_run(run, start, session);
  const std::optional<Json> results_before =
      world.leads() ? finished_results(run, start, config) : std::nullopt;
  if (any(world, results_before.has_value())) {
    log::info(concat(run.results_file().string(), ": this run is finished"));
    return results_before.value_or(nullptr);
  }
  std::optional<Checkpoint> weights;
  agree(world, [&] { weights = initial_weights(start); });
  require_same(world, "the step of --init-from", weights ? std::to_string(weights->step) : "");
  const std::string resolved = print_config(request.config, kinds);
  log::info("configuration:\n" + resolved);
  log::info("parameters:\n" + parameter_table(*session.model));
  claim_together(run, start, session, resolved, lock);
  describe_split("train", splits.train);
  if (config.train.batch_size > splits.train.size())
    log::warning(concat("train.batch_size ", config.train.batch_size, " is more than the ",
                        splits.train.size(),
                        " training examples: a batch holds some of them more than once"));
  describe_split("val", splits.val);
  describe_split("test", splits.test);

  Trainer trainer(session, splits.train, splits.val, run);
  restore(trainer, run, start, weights, session);
  trainer.require_same_weights();
  {
    const StopSignals stop(StopSignals::Ignored::take);
    if (plan.profile && world.leads()) trainer.profile(*plan.profile);
    trainer.run();
  }
  const FinalScores scores =
      final_scores(trainer, session, run, splits.test,
                   constant_predictor(splits.train, splits.val, session.task->num_classes()));
  meet(world);  // all have read the checkpoints
  if (!world.leads()) return nullptr;
  Json results = make_results(session, scores, summarise_timings(run.root()));
  if (!start.mark.extended_from.empty()) results["extended_from"] = start.mark.extended_from;
  if (start.mark.init)
    results["init_from"] = {{"path", start.mark.init->path}, {"step", start.mark.init->step}};
  run.remove_leftovers();  // what could not be removed when it was pruned; nobody starts a finished run again
  write_atomic(run.results_file(), to_pretty_text(results));
  const std::string place = run.root().string();
  log::info(concat("run folder: ", place, ". Next: lotformer-report ", place, " --out ", place,
                   "-report (after lotformer-eval ", place, " --for-report: with errors and plans)"));
  return results;
}

}  // namespace

Json launch_training(const TrainRequest& request) {
  // Before and after the steps there is nothing to save.
  const StopSignals at_once(StopSignals::Ignored::take, StopSignals::Then::leave,
                            "nothing is lost, the same command goes on");
  const World& world = *request.world;
  try {
    return train(request);
  } catch (const SaidError&) {
    world.part();
    throw;
  } catch (const Error& error) {
    // Most come to all processes at the same place, and then the first says it. Whether it does, only those
    // see who are on its machine.
    if (!world.leads() && world.is_near(0)) world.follow(0, error.kind());
    world.part();
    throw;
  }
}

}  // namespace lotformer
