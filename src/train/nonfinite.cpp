// SPDX-License-Identifier: MIT
#include "nonfinite.h"

#include <cmath>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

template <class T>
T nonfinite_member(const Json& json, const char* key, const std::string& where) {
  return json_get<T>(json, key, where, ErrorKind::checkpoint);
}

double factor_of(const Json& json, const std::string& where) {
  const auto factor = nonfinite_member<double>(json, "lr_factor", where);
  if (!std::isfinite(factor) || factor < 0)
    throw Error(ErrorKind::checkpoint, where + ": 'lr_factor' is not a factor");
  return factor;
}

}  // namespace

Json to_json(const Rollback& r) {
  return {{"from", r.from},
          {"to", r.to},
          {"batches", Json::array({r.first_batch, r.end_batch})},
          {"lr_factor", r.lr_factor}};
}

Json to_json(const NonfiniteHistory& history) {
  Json rollbacks = Json::array();
  for (const Rollback& rollback : history.rollbacks) rollbacks.push_back(to_json(rollback));
  return {{"rollbacks", rollbacks},         {"skipped_batches", history.skipped_batches.state()},
          {"lr_factor", history.lr_factor}, {"skipped_updates", history.skipped_updates},
          {"in_a_row", history.in_a_row},   {"last_skipped", history.last_skipped}};
}

NonfiniteHistory nonfinite_history_from_json(const Json& json, const std::string& where) {
  NonfiniteHistory history;
  for (const Json& item : nonfinite_member<Json>(json, "rollbacks", where)) {
    const auto batches = nonfinite_member<std::vector<int64_t>>(item, "batches", where);
    if (batches.size() != 2) throw Error(ErrorKind::checkpoint, where + ": 'batches' is not [first, end]");
    history.rollbacks.push_back({nonfinite_member<int64_t>(item, "from", where),
                                 nonfinite_member<int64_t>(item, "to", where), batches[0], batches[1],
                                 factor_of(item, where)});
  }
  history.skipped_batches =
      SkippedBatches::from_state(nonfinite_member<Json>(json, "skipped_batches", where), where);
  history.lr_factor = factor_of(json, where);
  history.skipped_updates = nonfinite_member<int64_t>(json, "skipped_updates", where);
  history.in_a_row = nonfinite_member<int64_t>(json, "in_a_row", where);
  history.last_skipped = nonfinite_member<int64_t>(json, "last_skipped", where);
  return history;
}

std::string describe(const NonfiniteHistory& history) {
  std::vector<std::string> parts;
  if (history.skipped_updates > 0)
    parts.push_back(concat(history.skipped_updates, history.skipped_updates == 1 ? " update" : " updates",
                           " left out for non-finite numbers, the last at step ", history.last_skipped));
  if (!history.rollbacks.empty())
    parts.push_back(concat(history.rollbacks.size(),
                           history.rollbacks.size() == 1 ? " rollback" : " rollbacks",
                           " after non-finite numbers, learning rate times ", history.lr_factor));
  return join(parts, "; ");
}

}  // namespace lotformer
