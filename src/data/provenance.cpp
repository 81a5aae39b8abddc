// SPDX-License-Identifier: MIT
#include "data/provenance.h"

#include <vector>

#include "data/tasks/layout.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/error.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostRecordBytes = int64_t{16} << 20;

std::string digest_of(SourceFile& file) {
  Hasher hasher;
  std::vector<char> buffer(size_t{1} << 20);
  while (const size_t got = file.read(buffer.data(), buffer.size())) hasher.update(buffer.data(), got);
  return hasher.digest();
}

}  // namespace

Json parse_provenance(std::string_view text, const std::string& name) {
  Json record;
  try {
    record = parse_json(text, kProvenanceFile, ErrorKind::data);
  } catch (const Error& error) {
    throw DataError::at_file(name, concat("provenance record cannot be read: ", error.what()));
  }
  if (!record.is_object()) throw DataError::at_file(name, "provenance record is not a JSON object");
  return record;
}

namespace {

/// A task's folder lies at most this far below a root, as
/// lra_release/lra_release/pathfinder/pathfinder32/curv_baseline does, and a user may point at any level
/// between.
constexpr int kLevelsAbove = 5;

/// The record in `folder`, or null. It may be one of another task, except in the task's own folder.
Json record_in(const fs::path& folder, const fs::path& root, const std::string& task, bool own, Links links) {
  std::error_code code;
  const fs::file_type type =
      fs::symlink_status(folder / kProvenanceFile, code).type();  // a broken link has one
  if (type == fs::file_type::not_found) return nullptr;
  if (type == fs::file_type::none && !own) return nullptr;  // a folder above that is closed to us
  const std::string prefix = message_prefix(root, folder), name = prefix + kProvenanceFile;
  std::string text;
  FileFence(folder, prefix, links).read(kProvenanceFile, kMostRecordBytes, text);
  Json record = parse_provenance(text, name);
  if (!record.contains("task")) return record;
  const auto named = json_get<std::string>(record, "task", name, ErrorKind::data);
  if (named == task || (named == "pathx" && task == "pathfinder128")) return record;
  if (own)
    throw DataError::at_file(
        name, concat("is a record of the task ", quoted(named), ", but lies with the files of ", task));
  return nullptr;
}

}  // namespace

Json read_own_provenance(const fs::path& directory, const fs::path& root, const std::string& task) {
  return record_in(directory, root, task, true, Links::inside);
}

Json read_provenance(const fs::path& directory, const fs::path& root, const std::string& task, Links links) {
  Json record = record_in(directory, root, task, true, links);
  // As it was named, and where it lies when a link leads there.
  for (fs::path folder : {fs::absolute(directory).lexically_normal(), fs::weakly_canonical(directory)}) {
    if (!folder.has_filename()) folder = folder.parent_path();  // "data/" ends in an empty name
    for (int level = 0; level < kLevelsAbove && record.is_null(); ++level) {
      folder = folder.parent_path();
      record = record_in(folder, fs::absolute(root).lexically_normal(), task, false, links);
    }
  }
  return record;
}

std::string origin_of(const Json& provenance, const std::string& task) {
  if (provenance.is_null()) return "official";
  const bool generated = task == "listops" && provenance.value("origin", Json()) == "generated";
  return generated ? "generated" : "synthetic";
}

FolderContents contents_of(const fs::path& folder, int64_t expected, Links links) {
  Progress progress("counting " + folder.filename().string(), expected, "files");
  FolderContents found;
  std::error_code code;
  fs::recursive_directory_iterator it(folder, code);
  for (; !code && it != fs::recursive_directory_iterator(); it.increment(code)) {
    if (!it->is_regular_file(code) || is_macos_dropping(it->path().filename().string())) continue;
    const bool outside = it->is_symlink(code) && links == Links::inside;
    const auto bytes = outside ? uintmax_t{0} : it->file_size(code);
    found.bytes += code ? 0 : static_cast<int64_t>(bytes);
    progress.update(++found.files);
  }
  return found;
}

namespace {

/// A count.
int64_t whole_number(const Json& entry, const char* key, const std::string& record) {
  return json_get<int64_t>(entry, key, record, ErrorKind::data);
}

/// A path of the record, which must not leave its folder.
fs::path listed_path(const std::string& name, const std::string& record) {
  const fs::path relative = fs::path(name).lexically_normal();
  if (relative.is_absolute() || relative.empty() || *relative.begin() == "..")
    throw DataError::at_file(record, concat("lists ", quoted(name), ", a path that leaves its folder"));
  return relative;
}

void check_folders(const Json& folders, const fs::path& directory, const std::string& prefix,
                   const std::string& record, Links links) {
  FileFence fence(directory, prefix, links);
  for (const auto& [name, entry] : folders.items()) {
    const fs::path relative = listed_path(name, record);
    const auto files = whole_number(entry, "files", record);
    fence.require_folder(relative.string());
    const FolderContents found = contents_of(directory / relative, files, links);
    if (found.files != files) {
      throw DataError::at_file(prefix + name, concat("has ", format_count(found.files), " files, ",
                                                     format_count(files), " wanted by ", record));
    }
    const auto bytes = entry.contains("bytes") ? whole_number(entry, "bytes", record) : found.bytes;
    if (found.bytes != bytes) {
      throw DataError::at_file(
          prefix + name, concat("its files have ", found.bytes, " bytes, ", bytes, " wanted by ", record,
                                " (changed since they were generated?)"));
    }
  }
}

}  // namespace

void check_files(const Json& provenance, const fs::path& directory, const std::string& prefix, bool contents,
                 Links links) {
  if (!provenance.is_object()) return;
  const std::string record = prefix + kProvenanceFile;
  if (const auto folders = provenance.find("folders"); contents && folders != provenance.end())
    check_folders(*folders, directory, prefix, record, links);
  const auto files = provenance.find("files");
  if (files == provenance.end()) return;
  FileFence fence(directory, prefix, links);
  for (const auto& [name, entry] : files->items()) {
    const fs::path relative = listed_path(name, record);
    const auto bytes = whole_number(entry, "bytes", record);
    std::error_code code;
    if (!fs::exists(directory / relative, code))
      throw DataError::at_file(prefix + printable(name), concat("not found, but ", record, " lists it"));
    if (printable(name) != name)  // the readers name what they open in messages of one line
      throw DataError::at_file(record, concat("lists ", printable(name), ", not a name of ours"));
    SourceFile file = fence.open(relative.string());
    const int64_t found = file.size();
    if (found != bytes) {
      throw DataError::at_file(prefix + printable(name),
                               concat("has ", found, " bytes, ", bytes, " wanted by ", record,
                                      " (cut short or changed since it was generated?)"));
    }
    if (contents && digest_of(file) != json_get<std::string>(entry, "xxh3_128", record, ErrorKind::data)) {
      throw DataError::at_file(prefix + printable(name), "contents differ from the digest in " + record);
    }
  }
}

}  // namespace lotformer::data
