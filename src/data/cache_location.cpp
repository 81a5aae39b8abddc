// SPDX-License-Identifier: MIT
// Where caches lie: beside the data where possible, else in the user's cache folder, else in the temporary
// folder.
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <set>

#include "data/cache.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

bool is_writable_directory(const fs::path& directory) {
  std::error_code code;
  fs::create_directories(directory, code);
  return !code && fs::is_directory(directory, code) && ::access(directory.c_str(), W_OK | X_OK) == 0;
}

void say_once(const fs::path& beside_data, const fs::path& used, bool is_link) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard<std::mutex> guard(mutex);
  if (!said.insert(beside_data.string()).second) return;
  log::info(concat(beside_data.string(), is_link ? " is a link, which is not followed" : " cannot be written",
                   "; caches go to ", used.string()));
}

}  // namespace

std::vector<fs::path> cache_places(const fs::path& source_directory) {
  std::vector<fs::path> places = {source_directory / ".lotformer-cache"};
  const std::string key = hash_bytes(fs::weakly_canonical(source_directory).string()).substr(0, 16);
  const char* user_cache = std::getenv("XDG_CACHE_HOME");
  if (user_cache != nullptr && *user_cache != '\0')
    places.push_back(fs::path(user_cache) / "lotformer" / key);
  places.push_back(fs::temp_directory_path() / concat("lotformer-cache-", ::getuid()) / key);
  return places;
}

fs::path cache_directory(const fs::path& source_directory) {
  const std::vector<fs::path> places = cache_places(source_directory);
  // A link that came with the data could make us write anywhere.
  std::error_code code;
  const bool is_link = fs::is_symlink(places.front(), code);
  for (const fs::path& place : places) {
    if (place == places.front() && is_link) continue;
    if (!is_writable_directory(place)) continue;
    if (place != places.front()) say_once(places.front(), place, is_link);
    return place;
  }
  throw Error(ErrorKind::disk,
              concat("no place for the data cache: ", places.front().string(), " and ",
                     places.back().string(), " cannot be written; set XDG_CACHE_HOME to a folder that can"));
}

}  // namespace lotformer::data
