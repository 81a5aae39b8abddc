// SPDX-License-Identifier: MIT
// Makes the manifest of a checkpoint fit its files again after they were edited, as whoever forges a
// checkpoint would.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "lotformer/core/hash.h"
#include "lotformer/core/json.h"

int main(int argc, char** argv) {
  using namespace lotformer;
  if (argc != 2) {
    std::fputs("usage: soak_fit_manifest CHECKPOINT\n", stderr);
    return 2;
  }
  try {
    const std::filesystem::path folder = argv[1], path = folder / "manifest.json";
    Json manifest = read_json(path, ErrorKind::checkpoint);
    for (auto& [name, entry] : manifest["files"].items()) {
      entry["bytes"] = std::filesystem::file_size(folder / name);
      entry["xxh3_128"] = hash_file(folder / name, ErrorKind::checkpoint);
    }
    std::ofstream(path, std::ios::binary) << to_pretty_text(manifest);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "soak_fit_manifest: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
