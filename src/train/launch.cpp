// SPDX-License-Identifier: MIT
#include "lotformer/train/launch.h"

#include <algorithm>
#include <optional>

#include "lotformer/attention/attention.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "schedule.h"
#include "train/run/results.h"
#include "train/run/resume.h"
#include "trainer.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

fs::path default_run_dir(const Config& config) {
  return fs::path("runs") / concat(config.task, "-", attention_name(config), "-s", config.train.seed, "-",
                                   config_hash(config).substr(0, 8));
}

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

void announce(const Session& s, const fs::path& run_dir) {
  log::info(concat("lotformer ", build_id(), ", device ", device_name(s.device), ", ", s.threads,
                   " threads, ", s.precision));
  if (!run_dir.empty()) log::info("run folder: " + run_dir.string());
  log::info(concat("task ", s.task->name(), ", attention ", attention_name(s.config), ", protocol ",
                   s.config.protocol_label, ", data_origin: ", s.task->data_origin()));
  if (s.config.train.warmup_steps > s.config.train.steps) {
    log::warning(concat("train.warmup_steps ", s.config.train.warmup_steps, " is more than train.steps ",
                        s.config.train.steps, ": the learning rate never leaves its warm-up"));
  }
  const std::string reference = references_line(*s.task);
  if (!reference.empty()) log::info(reference);
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
  if (const int64_t step = trainer.state().best->step; step != trainer.state().step) {
    if (const auto problem = checkpoint_problem(run.checkpoint_folder(step))) trainer.lose_best(*problem);
    trainer.save();  // what results name is what the last checkpoint names
  }
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

struct Splits {
  data::Dataset train, val, test;
  Json fingerprints() const {
    return {{"train", train.fingerprint()}, {"val", val.fingerprint()}, {"test", test.fingerprint()}};
  }
};

/// The folder becomes this run's, or stays it. `lock`: of a folder that is ours already.
void claim(const RunFolder& run, RunStart& start, const Session& s, const std::string& config_text,
           std::optional<FileLock>& lock) {
  if (!start.ours) {
    start.mark.config = config_to_json(s.config);
    start.mark.fingerprints = s.fingerprints;
    start.mark.about = describe_run(s);
    lock = run.begin(start.mark);
  } else if (start.adoption || start.extended_from || !fs::exists(run.mark_file())) {
    // Scores of the shorter run must not pass for those of the longer one while it is under way.
    if (start.extended_from && fs::exists(run.results_file()))
      fs::rename(run.results_file(), run.root() / concat("results-step-", *start.extended_from, ".json"));
    if (start.extended_from) start.mark.about = describe_run(s);
    write_mark(run.mark_file(), start.mark);
  }
  lotformer::create_directories(run.checkpoints_folder());
  run.remove_leftovers();
  write_atomic(run.config_file(), config_text);
  if (start.adoption) adopt(run, *start.checkpoint, *start.adoption);
}

/// Notes whose weights a run begins with. Error(usage) when it was begun with others.
void name_initial_weights(const TrainRequest& request, RunStart& start) {
  if (request.init_from.empty()) return;
  const std::string path = fs::weakly_canonical(request.init_from).string();
  if (start.ours ? !start.mark.init || start.mark.init->path != path : start.adoption.has_value()) {
    throw Error(
        ErrorKind::usage,
        concat("--init-from ", path, ": the run in ", request.run_dir.string(), " was begun ",
               start.mark.init ? "with " + start.mark.init->path : "otherwise", "; take another --run-dir"));
  }
  if (!start.ours) start.mark.init = RunOrigin{path, -1};
}

/// The weights that a run begins with, where it begins. Error(usage) when they are no longer those that it
/// was begun with.
std::optional<Checkpoint> initial_weights(RunStart& start) {
  if (!start.mark.init || start.checkpoint) return std::nullopt;
  // The source may have got a better checkpoint meanwhile.
  const RunFolder source(start.mark.init->path);
  const bool known = start.ours && fs::exists(source.checkpoint_folder(start.mark.init->step));
  Checkpoint weights = known ? source.checkpoint(start.mark.init->step)
                             : resolve_weights(start.mark.init->path, WhichCheckpoint::best_or_last);
  if (start.ours && start.mark.init->step != weights.step)
    throw Error(ErrorKind::usage,
                concat(start.mark.init->path, ": the run was begun with its step ", start.mark.init->step,
                       ", now it has step ", weights.step, "; take another --run-dir"));
  start.mark.init->step = weights.step;
  return weights;
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
  trainer.restore(*start.checkpoint);
  run.set_aside_newer_than(start.checkpoint->step);
  say_extension(start, s.config, trainer.state().nonfinite.lr_factor);
  log::info(concat("resuming at step ", start.checkpoint->step, " from ", start.checkpoint->path.string()));
}

}  // namespace

Json launch_training(const TrainRequest& request) {
  // Before and after the steps there is nothing to save.
  const StopSignals at_once(StopSignals::Ignored::take, StopSignals::Then::leave,
                            "nothing is lost, the same command goes on");
  if (!request.init_from.empty() && request.run_dir.empty())
    throw Error(ErrorKind::usage,
                "--init-from begins a run that its configuration does not name; say where: --run-dir");
  const auto profile = request.profile.empty() ? std::nullopt : std::optional(parse_profile(request.profile));
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  const Config config = load_config(request.config, kinds);
  wait_passively(config.train.threads);
  const c10::Device device = parse_device(request.device);
  const RunFolder run(request.run_dir.empty() ? default_run_dir(config) : request.run_dir);
  // Nothing is written before everything has been looked at, so that a refused start leaves no trace.
  std::optional<FileLock> lock;
  if (run.state() == RunFolder::State::ours) {
    lock = run.lock();
    run.restore_displaced();
  }
  RunStart start = find_start(run, request.resume, config, request.extend);
  name_initial_weights(request, start);

  Session session = open_session(config, device);
  announce(session, run.root());
  const Splits splits = {open_split(session, data::Split::train), open_split(session, data::Split::val),
                         open_split(session, data::Split::test)};
  session.fingerprints = splits.fingerprints();
  if (start.ours) require_same_data(run.root().string(), start.mark.fingerprints, session.fingerprints);
  if (start.checkpoint)
    require_same_data(start.checkpoint->path.string(),
                      start.checkpoint->state.value("data_fingerprints", Json::object()),
                      session.fingerprints);
  if (auto results = finished_results(run, start, config)) {
    log::info(concat(run.results_file().string(), ": this run is finished"));
    return *results;
  }
  const std::optional<Checkpoint> weights = initial_weights(start);
  const std::string resolved = print_config(request.config, kinds);
  log::info("configuration:\n" + resolved);
  log::info("parameters:\n" + parameter_table(*session.model));
  claim(run, start, session, resolved, lock);
  describe_split("train", splits.train);
  if (config.train.batch_size > splits.train.size())
    log::warning(concat("train.batch_size ", config.train.batch_size, " is more than the ",
                        splits.train.size(),
                        " training examples: a batch holds some of them more than once"));
  describe_split("val", splits.val);
  describe_split("test", splits.test);

  Trainer trainer(session, splits.train, splits.val, run);
  restore(trainer, run, start, weights, session);
  {
    const StopSignals stop(StopSignals::Ignored::take);
    if (profile) trainer.profile(*profile);
    trainer.run();
  }
  const FinalScores scores =
      final_scores(trainer, session, run, splits.test,
                   constant_predictor(splits.train, splits.val, session.task->num_classes()));
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

Json dry_run(const TrainRequest& request) {
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  const Config config = load_config(request.config, kinds);
  wait_passively(config.train.threads);
  Session session = open_session(config, parse_device(request.device));
  announce(session, {});
  log::info("configuration:\n" + print_config(request.config, kinds));
  log::info("parameters:\n" + parameter_table(*session.model));
  const BatchMaker train(open_split(session, data::Split::train), config.data, session.device,
                         batch_shapes(session));
  const data::Sampler sampler(train.dataset().size(), config.train.batch_size,
                              static_cast<uint64_t>(config.train.seed));
  session.model->train();
  const auto batches = training_stream(train, sampler, config, 0, 1);
  const BatchGradients sums =
      accumulate_gradients(session, next_step(*batches, training_chunks(config.train)).chunks, {});
  Json json = describe_run(session);
  json["dry_run"] = true;
  json["loss"] = sums.loss_sum.item<double>() / static_cast<double>(config.train.batch_size);
  json["peak_memory_bytes"] = peak_memory_bytes(session.device);
  log::info(concat("dry run: one batch of ", config.train.batch_size, " examples forward and backward, loss ",
                   format_fixed(json["loss"], 4), ", ", format_count(json["parameters"]),
                   " parameters, peak memory ", format_bytes(json["peak_memory_bytes"])));
  return json;
}

}  // namespace lotformer
