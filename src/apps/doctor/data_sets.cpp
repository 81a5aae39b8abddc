// SPDX-License-Identifier: MIT
#include "apps/doctor/checks.h"
#include "lotformer/core/text.h"
#include "lotformer/data/survey.h"

namespace lotformer::doctor {
namespace {

std::string caches_of(const data::FoundSet& set) {
  if (set.caches == 0) return "no cache yet";
  return concat(set.caches, set.caches == 1 ? " cache of " : " caches of ", format_bytes(set.cache_bytes));
}

}  // namespace

void check_data(Report& report, const std::filesystem::path& root) {
  std::vector<std::string> missing;
  size_t found = 0;
  for (const data::FoundSet& set : data::survey(root)) {
    if (set.state == data::FoundSet::State::missing) {
      missing.push_back(set.task);
      continue;
    }
    ++found;
    if (set.state == data::FoundSet::State::damaged)
      report.problem("data", concat(set.task, ": ", set.problem),
                     concat("lotformer-data check --task ", set.task, " --root ", root.string()));
    else
      report.ok("data", concat(set.task, ": ", set.origin, ", ", set.folder.string(), ", ", caches_of(set)));
  }
  if (missing.empty()) return;
  const std::string text = concat("not below ", root.string(), ": ", join(missing, ", "));
  if (found > 0)
    report.ok("data", text);
  else
    report.warning("data", text,
                   concat("lotformer-data generate --task listops --root ", root.string(),
                          ", or scripts/get_lra.sh (docs/data.md)"));
}

}  // namespace lotformer::doctor
