// SPDX-License-Identifier: MIT
#include "lotformer/train/launch.h"

#include <optional>

#include "lotformer/attention/attention.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
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

/// The results of the run whose last checkpoint is `start`, when it has ended. A file that is not whole
/// counts as absent: the scores can be computed again from the checkpoints.
std::optional<Json> finished_results(const RunFolder& run, const Checkpoint& start, const Config& config) {
  if (start.step < config.train.steps || !fs::exists(run.results_file())) return std::nullopt;
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

void warn_about_differences(const Checkpoint& start, const Session& s, const data::Dataset& train) {
  const int64_t threads = start.state.value("threads", s.threads);
  if (threads != s.threads)
    log::warning(concat("the checkpoint was made with ", threads, " threads, now ", s.threads,
                        ": the last bits of results will differ"));
  const Json recorded = start.state.value("data_fingerprints", Json::object());
  const std::string fingerprint = recorded.value("train", train.fingerprint());
  if (fingerprint != train.fingerprint())
    throw Error(ErrorKind::data,
                "the training data are not those the checkpoint was made with (fingerprint " +
                    train.fingerprint() + ", recorded " + fingerprint + ")");
}

/// Test and validation with the best weights, then with the last; leaves the last in the model.
FinalScores final_scores(Trainer& trainer, Session& s, const RunFolder& run, const data::Dataset& test,
                         const ConstantPredictor& constant) {
  const Score best = *trainer.state().best, last = *trainer.state().last;
  const auto use = [&](int64_t step) {
    const Checkpoint c = run.checkpoint(step);
    load_parameters(*s.model, c.model, c.path.string());
  };
  FinalScores scores{best, last, {}, {}, constant};
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

/// Takes back a run folder that this process made and in which no run came about: a start that is refused
/// leaves nothing behind.
class FolderGuard {
 public:
  FolderGuard(const RunFolder& run, bool made_here) : run_(run), made_here_(made_here) {}
  ~FolderGuard() {
    if (made_here_) run_.discard_if_empty();
  }
  FolderGuard(const FolderGuard&) = delete;
  FolderGuard& operator=(const FolderGuard&) = delete;

 private:
  const RunFolder& run_;
  bool made_here_;
};

}  // namespace

Json launch_training(const TrainRequest& request) {
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  const Config config = load_config(request.config, kinds);
  const c10::Device device = parse_device(request.device);
  const fs::path run_dir = request.run_dir.empty() ? default_run_dir(config) : request.run_dir;
  const RunFolder run(run_dir);
  check_resume(run, request.resume);
  const bool made_here = !fs::exists(run_dir);
  const FileLock lock = run.open_for_writing();
  const FolderGuard guard(run, made_here);
  const std::optional<Checkpoint> start = find_start(run, request.resume);
  if (start) {
    require_same_run(*start, config);
    if (auto results = finished_results(run, *start, config)) {
      log::info(concat(run.results_file().string(), ": this run is finished"));
      return *results;
    }
  }

  Session session = open_session(config, device);
  announce(session, run_dir);
  const std::string resolved = print_config(request.config, kinds);
  log::info("configuration:\n" + resolved);
  log::info("parameters:\n" + parameter_table(*session.model));
  const data::Dataset train = open_split(session, data::Split::train),
                      val = open_split(session, data::Split::val),
                      test = open_split(session, data::Split::test);
  // Not earlier: making and decoding data may take a while, and there is nothing to save yet.
  const StopSignals stop(StopSignals::Ignored::take);
  write_atomic(run.config_file(), resolved);  // from here on the folder is a run
  session.fingerprints = {
      {"train", train.fingerprint()}, {"val", val.fingerprint()}, {"test", test.fingerprint()}};
  describe_split("train", train);
  describe_split("val", val);
  describe_split("test", test);

  Trainer trainer(session, train, val, run);
  if (start) {
    warn_about_differences(*start, session, train);
    trainer.restore(*start);
    run.set_aside_newer_than(start->step);
    log::info(concat("resuming at step ", start->step, " from ", start->path.string()));
  } else {
    trainer.start_afresh();
  }
  trainer.run();
  const FinalScores scores =
      final_scores(trainer, session, run, test, constant_predictor(train, val, session.task->num_classes()));
  const Json results = make_results(session, scores, summarise_timings(run_dir));
  write_atomic(run.results_file(), to_pretty_text(results));
  return results;
}

Json dry_run(const TrainRequest& request) {
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  const Config config = load_config(request.config, kinds);
  Session session = open_session(config, parse_device(request.device));
  announce(session, {});
  log::info("configuration:\n" + print_config(request.config, kinds));
  log::info("parameters:\n" + parameter_table(*session.model));
  const BatchMaker train(open_split(session, data::Split::train), config.data, session.device);
  const data::Sampler sampler(train.dataset().size(), config.train.batch_size,
                              static_cast<uint64_t>(config.train.seed));
  session.model->train();
  const auto batches = training_stream(train, sampler, config, 0, 1);
  const BatchGradients sums = accumulate_gradients(session, *batches, {});
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
