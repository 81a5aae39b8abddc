// SPDX-License-Identifier: MIT
#include "data/generate/generated_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/generate/target_folder.h"
#include "data/provenance.h"
#include "data/tasks/layout.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

const char* const kRemedy = "; choose another --root or remove that folder first";

/// The folder below `root` in which readers would find a set of this kind, whole or not, else an empty path.
fs::path find_set(const fs::path& root, const SetPlan& plan) {
  Layout layout{{plan.folder.generic_string()}, plan.markers};
  layout.names.insert(layout.names.end(), plan.other_folders.begin(), plan.other_folders.end());
  return find_directory(root, layout);
}

/// A whole number of a record, -1 when it is none.
int64_t number(const Json& entry, const char* key) {
  const bool there = entry.is_object() && entry.contains(key) && entry[key].is_number_integer();
  return there ? entry[key].get<int64_t>() : -1;
}

/// Members of a record that is an object in turn.
Json object_member(const Json& record, const char* key) {
  return record.contains(key) && record[key].is_object() ? record[key] : Json::object();
}

/// Whether all that `record` lists is there (sizes of files, numbers of files in folders).
bool is_whole(const Json& record, const fs::path& directory) {
  const Json files = object_member(record, "files"), folders = object_member(record, "folders");
  for (const auto& [name, entry] : files.items()) {
    std::error_code code;
    if (static_cast<int64_t>(fs::file_size(directory / name, code)) != number(entry, "bytes")) return false;
  }
  for (const auto& [name, entry] : folders.items()) {
    const int64_t wanted = number(entry, "files");
    if (contents_of(directory / name, wanted).files != wanted) return false;
  }
  return true;
}

int64_t total_bytes(const Json& record) {
  int64_t bytes = 0;
  for (const char* kind : {"files", "folders"}) {
    const Json entries = object_member(record, kind);
    for (const auto& [name, entry] : entries.items()) bytes += std::max<int64_t>(0, number(entry, "bytes"));
  }
  return bytes;
}

/// One sentence on the first parameter that differs, or "".
std::string first_difference(const Json& record, const SetPlan& plan, const std::string& where) {
  const Json found = json_get<Json>(record, "parameters", where, ErrorKind::data);
  for (const auto& [name, wanted] : plan.parameters.items()) {
    const Json value = found.is_object() && found.contains(name) ? found[name] : Json();
    if (value != wanted) return concat(name, " is ", to_line(value), ", wanted ", to_line(wanted));
  }
  const auto version = json_get<int64_t>(record, "version", where, ErrorKind::data);
  return version == plan.version ? "" : concat("generator version is ", version, ", wanted ", plan.version);
}

/// Whether `directory` holds this very set; Error(data) when it holds another.
bool is_there(const fs::path& directory, const SetPlan& plan, Generation& result) {
  const Json record = read_own_provenance(directory, directory, plan.task);
  if (record.is_null()) {
    throw Error(ErrorKind::data,
                concat(directory.string(), ": holds ", plan.task, " files without a provenance record (",
                       kProvenanceFile, "), perhaps the official ones; they are not overwritten", kRemedy));
  }
  const std::string difference = first_difference(record, plan, (directory / kProvenanceFile).string());
  if (!difference.empty()) {
    throw Error(ErrorKind::data, concat(directory.string(), ": holds a set made with other parameters (",
                                        difference, ")", kRemedy));
  }
  if (!is_whole(record, directory)) return false;
  result.already_there = true;
  result.examples = plan.examples;
  result.bytes = total_bytes(record);
  return true;
}

/// All files of the set reach the disk before its folder gets its name.
void sync_all(const fs::path& directory) {
  const int fd = open_uninterrupted(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::syncfs(fd) == 0;
  const std::string why = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  if (!synced) throw Error(ErrorKind::disk, concat(directory.string(), ": cannot be made durable: ", why));
}

Json record_of(const SetPlan& plan, const Json& contents) {
  Json record = {{"generator", "lotformer-data generate --task " + plan.task},
                 {"version", plan.version},
                 {"origin", "synthetic"},
                 {"task", plan.task},
                 {"seed", plan.parameters["seed"]},
                 {"parameters", plan.parameters},
                 {"counts", plan.counts}};
  record.update(contents);
  return record;
}

std::string lock_name(const SetPlan& plan) {
  std::string name = plan.folder.generic_string();
  std::replace(name.begin(), name.end(), '/', '-');
  return "." + name + ".lock";
}

}  // namespace

Generation make_set(const fs::path& root, const SetPlan& plan, const FillFolder& fill) {
  Generation result;
  TargetFolder::check_root(root);
  const auto already_there = [&] {
    const fs::path found = find_set(root, plan);
    result.directory = found.empty() ? root / plan.folder : found;
    return !found.empty() && is_there(found, plan, result);
  };
  if (already_there()) return result;
  lotformer::create_directories(root);
  const FileLock lock =
      FileLock::wait(root / lock_name(plan), concat("it generates ", plan.task, " in ", root.string()));
  if (already_there()) return result;                   // the other process has made it meanwhile
  const StopSignals stop(StopSignals::Ignored::leave);  // not while it waits for the lock
  const TargetFolder folder(result.directory, plan.own);
  folder.require_space(plan.max_bytes);
  folder.begin();
  const Json record = record_of(plan, fill(folder.partial()));
  // Last: it says that the set is whole.
  write_small_file(folder.partial() / kProvenanceFile, to_pretty_text(record));
  sync_all(folder.partial());
  folder.publish();
  result.examples = plan.examples;
  result.bytes = total_bytes(record);
  return result;
}

Json file_entry(int64_t bytes, const std::string& digest) {
  return {{"bytes", bytes}, {"xxh3_128", digest}};
}

Json folder_entry(int64_t files, int64_t bytes) {
  return {{"files", files}, {"bytes", bytes}};
}

void write_small_file(const fs::path& path, std::string_view bytes) {
  const auto fail = [&](const char* what) {
    throw Error(ErrorKind::disk, concat(path.string(), ": ", what, ": ", std::strerror(errno)));
  };
  const int fd = open_uninterrupted(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail("cannot be opened for writing");
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = uninterrupted([&] { return ::write(fd, bytes.data() + done, bytes.size() - done); });
    if (put < 0) {
      const int why = errno;
      ::close(fd);
      errno = why;
      fail("write failed");
    }
    done += static_cast<size_t>(put);
  }
  if (::close(fd) != 0) fail("write failed");
}

void check_option(const char* option, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw Error(ErrorKind::usage,
              concat("generate: --", option, " must lie in ", low, "..", high, ", got ", value));
}

Json to_json(const Generation& generation) {
  return {{"directory", generation.directory.string()},
          {"already_there", generation.already_there},
          {"data_origin", "synthetic"},
          {"examples", generation.examples},
          {"bytes", generation.bytes}};
}

std::string describe(const Generation& generation) {
  return concat(generation.directory.string(), ": ", format_count(generation.examples),
                " synthetic examples, ", format_bytes(generation.bytes),
                generation.already_there ? ", there already" : "");
}

}  // namespace lotformer::data
