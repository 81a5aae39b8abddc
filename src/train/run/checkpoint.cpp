// SPDX-License-Identifier: MIT
#include "checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFormat = "lotformer-checkpoint";
constexpr int64_t kVersion = 1;
constexpr std::array<const char*, 3> kContents = {kModelFile, kOptimizerFile, kStateFile};
constexpr int64_t kMaxManifestBytes = int64_t{1} << 20;

FileDigest write_text(const fs::path& path, const std::string& text) {
  FileWriter writer(path);
  writer.write(text);
  writer.commit();
  return {static_cast<int64_t>(text.size()), hash_bytes(text)};
}

/// Gives the finished folder its name. An older folder of that name changes places with it in one step, so
/// that there is no moment without.
void move_into_place(const fs::path& temporary, const fs::path& folder) {
  if (::rename(temporary.c_str(), folder.c_str()) == 0) return;
  if (errno == ENOTEMPTY || errno == EEXIST) {
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0) {
      std::error_code ignored;  // what is left is swept at the next start
      fs::remove_all(temporary, ignored);
      return;
    }
    // File systems without exchange: two steps. What a kill between them leaves gets its name back at the
    // next start (RunFolder::restore_displaced), and here when the second step fails.
    fs::path old = temporary;
    old += "-old";
    if (::rename(folder.c_str(), old.c_str()) == 0) {
      std::error_code ignored;
      if (::rename(temporary.c_str(), folder.c_str()) == 0) {
        fs::remove_all(old, ignored);
        return;
      }
      const int why = errno;
      ::rename(old.c_str(), folder.c_str());
      errno = why;
    }
  }
  throw Error(ErrorKind::disk, concat(folder.string(), ": cannot be put in place: ", std::strerror(errno)));
}

/// The manifest's entry of one file, checked for form.
FileDigest manifest_entry(const Json& manifest, const std::string& file, const std::string& where) {
  constexpr ErrorKind kKind = ErrorKind::checkpoint;
  const Json files = json_get<Json>(manifest, "files", where, kKind);
  const Json entry = json_get<Json>(files, file, where, kKind);
  const std::string of_file = where + ": " + file;
  if (!entry.is_object() || !entry.contains("bytes") || !entry["bytes"].is_number_integer()) {
    throw Error(kKind, of_file + ": 'bytes' is missing or not a whole number");
  }
  return {entry["bytes"].get<int64_t>(), json_get<std::string>(entry, "xxh3_128", of_file, kKind)};
}

/// False when nothing bears the name. A question that cannot be answered now is an Error(disk), not damage.
bool is_there(const fs::path& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::none && code)
    throw Error(ErrorKind::disk, concat(path.string(), ": cannot be looked at: ", code.message()));
  return fs::exists(status);
}

Json read_manifest(const fs::path& folder) {
  constexpr ErrorKind kKind = ErrorKind::checkpoint;
  const fs::path path = folder / kManifestFile;
  if (!is_there(folder)) throw Error(kKind, folder.string() + ": no such checkpoint");
  if (!fs::is_directory(folder))
    throw Error(kKind, folder.string() + ": is not a folder, so not a checkpoint");
  if (!is_there(path))
    throw Error(kKind, path.string() + ": is missing, so this is not a finished checkpoint");
  const std::string text = read_file(path, kKind, kMaxManifestBytes, ErrorKind::disk);
  Json manifest = parse_json(text, path.string(), kKind);
  if (json_get<std::string>(manifest, "format", path.string(), kKind) != kFormat) {
    throw Error(kKind, concat(path.string(), ": 'format' is not '", kFormat, "'"));
  }
  const Json version = json_get<Json>(manifest, "version", path.string(), kKind);
  if (version != kVersion) {
    throw Error(kKind, concat(path.string(), ": format version ", to_line(version).substr(0, 40),
                              " is not supported, this program reads ", kVersion));
  }
  return manifest;
}

/// The bytes of one file after size and hash have been found right. A read that fails is an Error(disk): it
/// may pass, and the checkpoint is not to be given up for it.
std::string read_verified(const fs::path& folder, const Json& manifest, const std::string& file) {
  constexpr ErrorKind kKind = ErrorKind::checkpoint;
  const fs::path path = folder / file;
  const FileDigest wanted = manifest_entry(manifest, file, (folder / kManifestFile).string());
  if (!is_there(path)) throw Error(kKind, path.string() + ": is missing");
  std::error_code code;  // something else than a file: read_file says so
  const auto size = static_cast<int64_t>(fs::file_size(path, code));
  if (!code && size != wanted.bytes) {
    throw Error(kKind, concat(path.string(), ": has ", size, " bytes, the manifest wants ", wanted.bytes));
  }
  std::string bytes = read_file(path, kKind, wanted.bytes, ErrorKind::disk);
  const std::string found = hash_bytes(bytes);
  if (found != wanted.xxh3_128) {
    throw Error(kKind, concat(path.string(), ": is damaged: its XXH3-128 is ", found, ", the manifest wants ",
                              lotformer::quoted(wanted.xxh3_128)));
  }
  return bytes;
}

TensorMap parse_bytes(const std::string& bytes, const fs::path& path) {
  return parse_tensors({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path.string(),
                       ErrorKind::checkpoint);
}

int64_t step_of(const Json& state, const std::string& where, ErrorKind kind) {
  const auto step = json_get<Json>(state, "step", where, kind);
  if (!step.is_number_integer() || step.get<int64_t>() < 0)
    throw Error(kind, where + ": 'step' is not a step");
  return step.get<int64_t>();
}

/// All but the optimiser.
Checkpoint parse_contents(const fs::path& folder, const std::string& model, const std::string& state) {
  Checkpoint checkpoint;
  checkpoint.path = folder;
  checkpoint.model = parse_bytes(model, folder / kModelFile);
  const std::string where = (folder / kStateFile).string();
  checkpoint.state = parse_json(state, where, ErrorKind::checkpoint);
  checkpoint.step = step_of(checkpoint.state, where, ErrorKind::checkpoint);
  best_step(checkpoint.state, where);
  return checkpoint;
}

}  // namespace

void write_checkpoint(const fs::path& folder, const NamedTensors& model, const NamedTensors& optimizer,
                      const Json& state) {
  step_of(state, "write_checkpoint: state", ErrorKind::internal);
  const fs::path parent = folder.parent_path();
  lotformer::create_directories(parent.empty() ? fs::path(".") : parent);
  const fs::path temporary = parent / concat(kTemporaryPrefix, folder.filename().string(), "-", ::getpid());
  try {
    std::error_code code;
    fs::remove_all(temporary, code);
    lotformer::create_directories(temporary);
    Json manifest = {{"format", kFormat}, {"version", kVersion}};
    const auto record = [&manifest](const char* file, const FileDigest& digest) {
      manifest["files"][file] = {{"bytes", digest.bytes}, {"xxh3_128", digest.xxh3_128}};
    };
    record(kModelFile, write_tensors(temporary / kModelFile, model, {{"format", "pt"}}));
    record(kOptimizerFile, write_tensors(temporary / kOptimizerFile, optimizer));
    record(kStateFile, write_text(temporary / kStateFile, to_pretty_text(state)));
    write_text(temporary / kManifestFile, to_pretty_text(manifest));
    sync_directory(temporary);
    move_into_place(temporary, folder);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  sync_directory(parent);
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const Json manifest = read_manifest(folder);
  // Everything is verified before anything is parsed, and what is parsed are the bytes that were verified.
  std::array<std::string, kContents.size()> bytes;
  for (size_t i = 0; i < kContents.size(); ++i) bytes[i] = read_verified(folder, manifest, kContents[i]);
  Checkpoint checkpoint = parse_contents(folder, bytes[0], bytes[2]);
  checkpoint.optimizer = parse_bytes(bytes[1], folder / kOptimizerFile);
  return checkpoint;
}

Checkpoint read_weights_alone(const fs::path& folder) {
  const auto bytes = [&folder](const char* file) { return read_file(folder / file, ErrorKind::checkpoint); };
  return parse_contents(folder, bytes(kModelFile), bytes(kStateFile));
}

std::optional<std::string> checkpoint_problem(const fs::path& folder) {
  try {
    read_checkpoint(folder);
    return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::checkpoint) throw;  // it may be whole, and cannot be read now
    return error.what();
  }
}

std::optional<int64_t> best_step(const Json& state, const std::string& where) {
  const auto best = state.is_object() ? state.find("best") : state.end();
  if (best == state.end() || best->is_null()) return std::nullopt;
  return step_of(*best, where + ": best", ErrorKind::checkpoint);
}

}  // namespace lotformer
