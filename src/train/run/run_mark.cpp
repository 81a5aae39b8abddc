// SPDX-License-Identifier: MIT
#include "run_mark.h"

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMarkFormat = "lotformer-run";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxBytes = int64_t{1} << 20;
constexpr ErrorKind kMarkKind = ErrorKind::usage;

Json object_member(const Json& json, const char* key, const std::string& where) {
  Json value = json_get<Json>(json, key, where, kMarkKind);
  if (!value.is_object()) throw Error(kMarkKind, concat(where, ": member '", key, "' is not an object"));
  return value;
}

/// A member that may be absent.
std::optional<RunOrigin> origin_member(const Json& json, const char* key, const std::string& where) {
  if (!json.contains(key)) return std::nullopt;
  const Json origin = object_member(json, key, where);
  return RunOrigin{json_get<std::string>(origin, "path", where, kMarkKind),
                   json_get<int64_t>(origin, "step", where, kMarkKind)};
}

}  // namespace

void write_mark(const fs::path& file, const RunMark& mark) {
  Json json = {{"format", kMarkFormat},
               {"version", kVersion},
               {"config", mark.config},
               {"data_fingerprints", mark.fingerprints}};
  if (mark.origin) json["origin"] = {{"path", mark.origin->path}, {"step", mark.origin->step}};
  if (!mark.extended_from.empty()) json["extended_from"] = mark.extended_from;
  if (!mark.about.empty()) json["run"] = mark.about;
  if (mark.init) json["init_from"] = {{"path", mark.init->path}, {"step", mark.init->step}};
  write_atomic(file, to_pretty_text(json));
}

std::optional<RunMark> read_mark(const fs::path& file) {
  std::error_code code;
  if (fs::symlink_status(file, code).type() == fs::file_type::not_found) return std::nullopt;
  const std::string where = file.string();
  const Json json = parse_json(read_file(file, kMarkKind, kMaxBytes, ErrorKind::disk), where, kMarkKind);
  if (json_get<std::string>(json, "format", where, kMarkKind) != kMarkFormat)
    throw Error(kMarkKind,
                concat(where, ": 'format' is not '", kMarkFormat, "', so it is not the mark of a run"));
  if (json_get<Json>(json, "version", where, kMarkKind) != kVersion)
    throw Error(kMarkKind, concat(where, ": this program reads version ", kVersion, " of run folders only"));
  RunMark mark{object_member(json, "config", where), object_member(json, "data_fingerprints", where)};
  mark.origin = origin_member(json, "origin", where);
  mark.init = origin_member(json, "init_from", where);
  if (json.contains("extended_from"))
    mark.extended_from = json_get<std::vector<int64_t>>(json, "extended_from", where, kMarkKind);
  if (json.contains("run")) mark.about = object_member(json, "run", where);
  return mark;
}

void require_same_data(const std::string& whose, const Json& recorded, const Json& present) {
  for (const auto& [split, fingerprint] : present.items()) {
    const auto it = recorded.is_object() ? recorded.find(split) : recorded.end();
    if (!recorded.is_object() || it == recorded.end() || *it == fingerprint) continue;
    throw Error(ErrorKind::data, concat(whose, ": the ", split,
                                        " split is not the one that this run was begun with (fingerprint ",
                                        to_line(fingerprint), ", recorded ", quoted(to_line(*it), 60),
                                        "); take another --run-dir, or those data (data.root)"));
  }
}

}  // namespace lotformer
