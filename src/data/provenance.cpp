// SPDX-License-Identifier: MIT
#include "data/provenance.h"

#include <vector>

#include "data/progress.h"
#include "data/tasks/layout.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/error.h"
#include "lotformer/core/hash.h"
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

Json read_provenance(const fs::path& directory, const fs::path& root, const std::string& task) {
  for (const fs::path& folder : {directory, root}) {
    const fs::path path = folder / kProvenanceFile;
    std::error_code code;
    if (!fs::exists(path, code)) continue;
    const std::string prefix = message_prefix(root, folder), name = prefix + kProvenanceFile;
    std::string text;
    FileFence(folder, prefix).read(kProvenanceFile, kMostRecordBytes, text);
    const Json record = parse_provenance(text, name);
    if (!record.contains("task") || record.at("task") == task) return record;
  }
  return nullptr;
}

std::string origin_of(const Json& provenance) {
  if (provenance.is_null()) return "official";
  return provenance.contains("origin") && provenance["origin"] == "generated" ? "generated" : "synthetic";
}

int64_t count_files(const fs::path& folder, int64_t expected) {
  Progress progress("counting " + folder.filename().string(), expected, "files");
  int64_t files = 0;
  std::error_code code;
  fs::recursive_directory_iterator it(folder, code);
  for (; !code && it != fs::recursive_directory_iterator(); it.increment(code)) {
    files += it->is_regular_file(code) ? 1 : 0;
    progress.update(files);
  }
  return files;
}

namespace {

/// A count, which must be whole: a float beyond int64 has no conversion.
int64_t whole_number(const Json& entry, const char* key, const std::string& record) {
  const auto value = json_get<Json>(entry, key, record, ErrorKind::data);
  if (!value.is_number_integer())
    throw DataError::at_file(record, concat("member '", key, "' has the wrong type"));
  return value.get<int64_t>();
}

/// A path of the record, which must not leave its folder.
fs::path listed_path(const std::string& name, const std::string& record) {
  const fs::path relative = fs::path(name).lexically_normal();
  if (relative.is_absolute() || relative.empty() || *relative.begin() == "..")
    throw DataError::at_file(record, concat("lists ", quoted(name), ", a path that leaves its folder"));
  return relative;
}

void check_folders(const Json& folders, const fs::path& directory, const std::string& prefix,
                   const std::string& record) {
  for (const auto& [name, entry] : folders.items()) {
    const auto wanted = whole_number(entry, "files", record);
    const int64_t found = count_files(directory / listed_path(name, record), wanted);
    if (found == wanted) continue;
    throw DataError::at_file(prefix + printable(name), concat("has ", format_count(found), " files, ",
                                                              format_count(wanted), " wanted by ", record));
  }
}

}  // namespace

void check_files(const Json& provenance, const fs::path& directory, const std::string& prefix,
                 bool contents) {
  if (!provenance.is_object()) return;
  const std::string record = prefix + kProvenanceFile;
  if (const auto folders = provenance.find("folders"); contents && folders != provenance.end())
    check_folders(*folders, directory, prefix, record);
  const auto files = provenance.find("files");
  if (files == provenance.end()) return;
  FileFence fence(directory, prefix);
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
