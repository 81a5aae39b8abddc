// SPDX-License-Identifier: MIT
#include "data/provenance.h"

#include "lotformer/core/error.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;

Json read_provenance(const fs::path& directory, const fs::path& root, const std::string& task) {
  for (const fs::path& folder : {directory, root}) {
    const fs::path path = folder / kProvenanceFile;
    std::error_code code;
    if (!fs::exists(path, code)) continue;
    const std::string name = path.lexically_relative(root).string();
    Json record;
    try {
      record = read_json(path, ErrorKind::data);
    } catch (const Error& error) {
      throw DataError::at_file(name, concat("provenance record cannot be read: ", error.what()));
    }
    if (!record.is_object()) throw DataError::at_file(name, "provenance record is not a JSON object");
    if (!record.contains("task") || record["task"] == task) return record;
  }
  return nullptr;
}

std::string origin_of(const Json& provenance) {
  if (provenance.is_null()) return "official";
  return provenance.contains("origin") && provenance["origin"] == "generated" ? "generated" : "synthetic";
}

void check_files(const Json& provenance, const fs::path& directory, const std::string& prefix,
                 bool contents) {
  const auto files = provenance.is_object() ? provenance.find("files") : provenance.end();
  if (!provenance.is_object() || files == provenance.end()) return;
  const std::string record = prefix + kProvenanceFile;
  for (const auto& [name, entry] : files->items()) {
    const fs::path relative = fs::path(name).lexically_normal();
    if (relative.is_absolute() || relative.empty() || *relative.begin() == "..")
      throw DataError::at_file(record, concat("lists ", quoted(name), ", a path that leaves its folder"));
    const auto bytes = json_get<int64_t>(entry, "bytes", record, ErrorKind::data);
    std::error_code code;
    const auto found = static_cast<int64_t>(fs::file_size(directory / relative, code));
    if (code) throw DataError::at_file(prefix + name, concat("not found, but ", record, " lists it"));
    if (found != bytes) {
      throw DataError::at_file(prefix + name, concat("has ", found, " bytes, ", bytes, " wanted by ", record,
                                                     " (cut short or changed since it was generated?)"));
    }
    if (contents && hash_file(directory / relative, ErrorKind::data) !=
                        json_get<std::string>(entry, "xxh3_128", record, ErrorKind::data)) {
      throw DataError::at_file(prefix + name, "contents differ from the digest in " + record);
    }
  }
}

}  // namespace lotformer::data
