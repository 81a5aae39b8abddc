// SPDX-License-Identifier: MIT
#include "run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>

#include "list_folder.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStepPrefix = "step-";
constexpr size_t kStepDigits = 8, kMaxStepDigits = 18;

/// The step that a folder's name means: "step-00001000" -> 1000. Only the one spelling that
/// checkpoint_folder() uses.
std::optional<int64_t> step_from_name(const std::string& name) {
  if (name.rfind(kStepPrefix, 0) != 0) return std::nullopt;
  const std::string digits = name.substr(kStepPrefix.size());
  if (digits.size() < kStepDigits || digits.size() > kMaxStepDigits ||
      digits.find_first_not_of("0123456789") != std::string::npos ||
      (digits.size() > kStepDigits && digits[0] == '0')) {
    return std::nullopt;
  }
  return std::stoll(digits);
}

std::string step_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return concat(kStepPrefix, std::string(digits.size() < kStepDigits ? kStepDigits - digits.size() : 0, '0'),
                digits);
}

void rename_or_fail(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::rename(from, to, code);
  if (code) throw Error(ErrorKind::disk, concat(from.string(), ": cannot be renamed: ", code.message()));
}

}  // namespace

fs::path RunFolder::checkpoint_folder(int64_t step) const {
  return checkpoints_folder() / step_name(step);
}

std::vector<int64_t> RunFolder::steps() const {
  std::vector<int64_t> result;
  for (const fs::path& path : list_folder(checkpoints_folder())) {
    if (const auto step = step_from_name(path.filename().string())) result.push_back(*step);
  }
  std::sort(result.begin(), result.end(), std::greater<>());
  return result;
}

std::optional<Checkpoint> RunFolder::latest_whole() const {
  const std::vector<int64_t> all = steps();
  std::string newest_problem;
  for (const int64_t step : all) {
    try {
      Checkpoint found = checkpoint(step);
      if (!newest_problem.empty())
        log::warning("using the checkpoint of step " + std::to_string(step) + " instead");
      return found;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::checkpoint) throw;
      log::warning(concat("damaged checkpoint passed over: ", error.what()));
      if (newest_problem.empty()) newest_problem = error.what();
    }
  }
  if (all.empty()) return std::nullopt;
  throw Error(ErrorKind::checkpoint, concat(checkpoints_folder().string(), ": none of ", all.size(),
                                            " checkpoints is whole; the newest: ", newest_problem));
}

Checkpoint RunFolder::checkpoint(int64_t step) const {
  Checkpoint found = read_checkpoint(checkpoint_folder(step));
  if (found.step != step) {
    throw Error(ErrorKind::checkpoint, concat((found.path / kStateFile).string(), ": is of step ", found.step,
                                              ", the folder's name says ", step));
  }
  return found;
}

void RunFolder::set_aside_newer_than(int64_t step) const {
  for (const int64_t newer : steps()) {
    if (newer <= step) break;
    const fs::path base = checkpoints_folder() / ("discarded-" + step_name(newer));
    fs::path target = base;
    std::error_code code;
    for (int i = 2; fs::exists(target, code); ++i) target = base.string() + concat("-", i);
    rename_or_fail(checkpoint_folder(newer), target);
    log::warning(concat(checkpoint_folder(newer).string(), ": is later than the step resumed from, kept as ",
                        target.filename().string()));
  }
  sync_directory(checkpoints_folder());
}

void RunFolder::prune(int64_t keep, std::optional<int64_t> best) const {
  const std::vector<int64_t> all = steps();
  const auto kept = static_cast<size_t>(std::max<int64_t>(keep, 1));
  std::set<int64_t> wanted;
  if (best) wanted.insert(*best);
  for (size_t i = 0; i < std::min(kept, all.size()); ++i) {
    wanted.insert(all[i]);
    // When a resume falls back to this one, its best must still be there.
    const fs::path state = checkpoint_folder(all[i]) / kStateFile;
    try {
      if (const auto its_best = best_step(read_json(state, ErrorKind::checkpoint), state.string()))
        wanted.insert(*its_best);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::checkpoint) {  // cannot be read now: nobody knows what it names
        log::warning(concat("no checkpoint is pruned this time: ", error.what()));
        return;
      }
      log::debug(concat("prune: ", error.what()));  // damaged: whoever reads it as a checkpoint warns
    }
  }
  for (const int64_t step : all) {
    if (wanted.count(step) != 0) continue;
    const fs::path folder = checkpoint_folder(step);
    const fs::path temporary =
        checkpoints_folder() / concat(kTemporaryPrefix, "pruned-", step_name(step), "-", ::getpid());
    rename_or_fail(folder, temporary);
    std::error_code code;
    fs::remove_all(temporary, code);
    if (code) log::warning(concat(temporary.string(), ": cannot be removed: ", code.message()));
  }
}

}  // namespace lotformer
