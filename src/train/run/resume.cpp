// SPDX-License-Identifier: MIT
#include "resume.h"

#include <algorithm>

#include "lotformer/config/load.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

/// The same bytes in another run folder, whole or absent.
void copy_checkpoint(const Checkpoint& checkpoint, const RunFolder& run) {
  const fs::path target = run.checkpoint_folder(checkpoint.step);
  if (fs::exists(target) && !checkpoint_problem(target)) return;  // of an adoption that was broken off
  const fs::path temporary = target.parent_path() / concat(kTemporaryPrefix, "adopted-", checkpoint.step);
  fs::remove_all(temporary);
  lotformer::create_directories(temporary);
  for (const char* name : {kModelFile, kOptimizerFile, kStateFile, kManifestFile}) {
    FileWriter out(temporary / name);
    out.write(read_file(checkpoint.path / name, ErrorKind::checkpoint));
    out.commit();
  }
  sync_directory(temporary);
  fs::remove_all(target);  // damaged, or there is none
  fs::rename(temporary, target);
  sync_directory(target.parent_path());
}

void require_same_experiment(const std::string& whose, const Json& recorded, const Config& config,
                             const std::string& remedy) {
  const auto differences = experiment_differences(recorded, config);
  if (differences.empty()) return;
  const bool other_steps = std::any_of(differences.begin(), differences.end(), [](const std::string& text) {
    return text.rfind("train.steps was ", 0) == 0;
  });
  throw Error(ErrorKind::usage,
              concat(whose, " belongs to another configuration: ", join(differences, "; "), ". Take ", remedy,
                     other_steps ? ", --extend for more steps of this run" : "", ", or the recorded values"));
}

/// The start of a run that a PATH names.
Checkpoint resolve_start(const std::string& path, const Config& config) {
  const bool is_checkpoint =
      fs::exists(fs::path(path) / kManifestFile) || fs::exists(fs::path(path) / kStateFile);
  Checkpoint start =
      resolve_checkpoint(path, is_checkpoint ? WhichCheckpoint::best_or_last : WhichCheckpoint::last);
  const std::string where = (start.path / kStateFile).string();
  require_same_experiment(start.path.string(),
                          json_get<Json>(start.state, "config", where, ErrorKind::checkpoint), config,
                          "another checkpoint");
  return start;
}

bool is_path(const std::string& resume) {
  return resume != "auto" && resume != "must" && resume != "never";
}

Adoption read_adoption(const Checkpoint& start) {
  const std::string where = (start.path / kStateFile).string();
  const fs::path folder = fs::absolute(start.path).parent_path();
  const RunFolder origin(folder.parent_path());
  const auto offset = json_get<int64_t>(start.state, "metrics_offset", where, ErrorKind::checkpoint);
  if (!fs::exists(origin.metrics_file())) {
    throw Error(ErrorKind::checkpoint,
                concat("--resume: ", origin.metrics_file().string(),
                       " is missing; a checkpoint is continued from inside its run folder"));
  }
  Adoption adoption{read_file(origin.metrics_file(), ErrorKind::checkpoint)};
  if (offset < 0 || static_cast<int64_t>(adoption.metrics.size()) < offset) {
    throw Error(ErrorKind::checkpoint,
                origin.metrics_file().string() + ": is shorter than when the checkpoint was made");
  }
  adoption.metrics.resize(static_cast<size_t>(offset));
  const auto best = best_step(start.state, where);
  // A damaged one is left behind: the trainer says what that means.
  if (best && *best != start.step && !checkpoint_problem(origin.checkpoint_folder(*best)))
    adoption.best = origin.checkpoint(*best);
  return adoption;
}

RunStart take_over(const std::string& path, const Config& config) {
  RunStart start;
  start.checkpoint = resolve_start(path, config);
  start.mark.origin = RunOrigin{fs::canonical(path).string(), start.checkpoint->step};
  start.adoption = read_adoption(*start.checkpoint);
  return start;
}

/// The recorded configuration with the new number of steps.
void lengthen(RunStart& start, const RunFolder& run, const Config& config) {
  Json& steps = start.mark.config["train"]["steps"];
  const auto was = steps.is_number_integer() ? steps.get<int64_t>() : config.train.steps;
  if (config.train.steps < was) {
    throw Error(ErrorKind::usage,
                concat("--extend: ", run.root().string(), " is a run of ", was,
                       " steps; name more with --set train.steps=N, not ", config.train.steps));
  }
  if (config.train.steps > was) {
    start.extended_from = was;
    start.mark.extended_from.push_back(was);
  }
  steps = config.train.steps;
}

/// Of a folder that is ours.
RunStart go_on(const RunFolder& run, const Config& config, bool extend) {
  RunStart start;
  start.mark = run.mark();
  if (extend) lengthen(start, run, config);
  require_same_experiment(run.root().string(), start.mark.config, config, "another --run-dir");
  const auto steps = run.steps();
  const auto& origin = start.mark.origin;
  // Results whose checkpoints were deleted to save space stay results.
  const bool broken_off =
      origin && (steps.empty() || steps.front() < origin->step) && !fs::exists(run.results_file());
  if (broken_off) {
    log::info(concat(run.root().string(), ": was begun from ", origin->path,
                     " and stopped while taking it over; this is done again"));
    RunStart again = take_over(origin->path, config);
    start.checkpoint = std::move(again.checkpoint);
    start.adoption = std::move(again.adoption);
    start.mark.origin = again.mark.origin;
  } else {
    start.checkpoint = run.latest_whole();
  }
  if (start.extended_from && !start.checkpoint)
    throw Error(ErrorKind::checkpoint,
                concat("--extend: ", run.checkpoints_folder().string(),
                       " holds no whole checkpoint to go on from; nothing was changed"));
  start.ours = true;
  return start;
}

}  // namespace

void adopt(const RunFolder& run, const Checkpoint& start, const Adoption& adoption) {
  write_atomic(run.metrics_file(), adoption.metrics);
  if (adoption.best) copy_checkpoint(*adoption.best, run);
  copy_checkpoint(start, run);
}

RunStart find_start(const RunFolder& run, const std::string& resume, const Config& config, bool extend) {
  if (run.state() == RunFolder::State::vacant) {
    if (is_path(resume) && !fs::exists(resume)) {
      throw Error(ErrorKind::usage, concat("--resume: ", quoted(resume, 200),
                                           " is none of auto, must, never, and no such path"));
    }
    if (extend)
      throw Error(ErrorKind::usage,
                  concat("--extend: there is no run in ", run.root().string(), "; name it with --run-dir"));
    run.refuse_data_folder(config.data.root);
    if (resume == "must")
      throw Error(ErrorKind::checkpoint,
                  concat("--resume must: no checkpoint in ", run.checkpoints_folder().string()));
    return is_path(resume) ? take_over(resume, config) : RunStart{};
  }
  // The path may be gone meanwhile: the run goes on from its own checkpoints.
  const std::optional<RunOrigin> origin = run.mark().origin;
  const bool same_path = origin && origin->path == fs::weakly_canonical(resume).string();
  if (resume == "never" || (is_path(resume) && !same_path)) {
    throw Error(ErrorKind::usage,
                concat(resume == "never" ? "--resume never: " : "--resume PATH begins a new run: ",
                       run.root().string(), " is not empty; take another --run-dir, or --resume auto"));
  }
  RunStart start = go_on(run, config, extend);
  if (resume == "must" && !start.checkpoint)
    throw Error(ErrorKind::checkpoint,
                concat("--resume must: no checkpoint in ", run.checkpoints_folder().string()));
  return start;
}

}  // namespace lotformer
