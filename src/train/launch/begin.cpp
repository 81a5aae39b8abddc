// SPDX-License-Identifier: MIT
#include "begin.h"

#include <chrono>
#include <thread>

#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/dropout.h"
#include "lotformer/train/device.h"
#include "train/run/results.h"
#include "train/world/agreement.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr int kLooks = 60;

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

/// A process on another machine that has another disk at that place would go on from other checkpoints.
void require_folder_of_all(const World& world, const RunFolder& run) {
  agree(world, [&] {
    // A disk of the network may remember for a while that it was not there.
    for (int look = 0; look < kLooks && !fs::exists(run.mark_file()); ++look)
      std::this_thread::sleep_for(std::chrono::seconds(1));
    if (!fs::exists(run.mark_file()))
      throw Error(ErrorKind::usage,
                  concat(world.name(world.rank()), " does not see ", run.mark_file().string(), ", which ",
                         world.name(0),
                         " has just written: the run folder has to lie on a disk that all of them share"));
  });
}

}  // namespace

fs::path default_run_dir(const Config& config) {
  return fs::path("runs") / concat(config.task, "-", attention_name(config), "-s", config.train.seed, "-",
                                   config_hash(config).substr(0, 8));
}

void announce(const Session& s, const fs::path& run_dir) {
  log::info(concat("lotformer ", build_id(), ", device ", device_name(s.device), ", ",
                   s.world->alone() ? "" : concat(s.world->size(), " processes of "), s.threads, " threads, ",
                   s.precision));
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

Plan make_plan(const TrainRequest& request, const Kinds& kinds) {
  if (!request.init_from.empty() && request.run_dir.empty())
    throw Error(ErrorKind::usage,
                "--init-from begins a run that its configuration does not name; say where: --run-dir");
  Plan plan;
  if (!request.profile.empty()) plan.profile = parse_profile(request.profile);
  plan.config = load_config(request.config, kinds);
  // Starts the program anew, which in a world of several has been done before they met.
  if (request.world->alone()) wait_passively(plan.config.train.threads);
  plan.device = device_of(*request.world, request.device);
  return plan;
}

RunStart find_start_together(const TrainRequest& request, const RunFolder& run, const Config& config,
                             std::optional<FileLock>& lock) {
  const World& world = *request.world;
  require_same(world, "the run folder", fs::absolute(run.root()).lexically_normal().string());
  RunStart start;
  const auto find = [&] {
    start = find_start(run, request.resume, config, request.extend);
    name_initial_weights(request, start);
  };
  lead(world, [&] {
    if (run.state() == RunFolder::State::ours) {
      lock = run.lock();
      run.restore_displaced();
    }
    find();
  });
  agree(world, [&] {
    if (!world.leads()) find();
  });
  require_same(world, "the step that the run goes on from",
               start.checkpoint ? std::to_string(start.checkpoint->step) : "none (a folder of its own?)");
  return start;
}

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

Session open_session_together(const TrainRequest& request, const Plan& plan) {
  const World& world = *request.world;
  const int64_t threads = plan.config.train.threads;
  Session session;
  const int64_t each = threads > 0 ? threads : processors_each(world);
  agree(world, [&] { session = open_session(plan.config, plan.device, world.alone() ? 0 : each); });
  session.world = request.world;
  ops::set_dropout_stream(static_cast<uint64_t>(world.rank()));
  require_same(world, "the kind of device", session.device.is_cuda() ? "cuda" : "cpu");
  require_same(world, "train.precision", session.precision);
  return session;
}

Splits open_splits_together(Session& session) {
  std::optional<Splits> splits;
  agree(*session.world, [&] {
    splits = {open_split(session, data::Split::train), open_split(session, data::Split::val),
              open_split(session, data::Split::test)};
  });
  session.fingerprints = splits->fingerprints();
  require_same(*session.world, "the fingerprint of the data", to_line(session.fingerprints));
  return *splits;
}

void claim_together(const RunFolder& run, RunStart& start, const Session& s, const std::string& config_text,
                    std::optional<FileLock>& lock) {
  lead(*s.world, [&] { claim(run, start, s, config_text, lock); });
  require_folder_of_all(*s.world, run);
}

}  // namespace lotformer
