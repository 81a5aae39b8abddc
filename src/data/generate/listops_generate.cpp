// SPDX-License-Identifier: MIT
// A whole ListOps set: choose trees, order them, write three files and a provenance record into a folder that
// appears at once.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <unordered_set>
#include <vector>

#include "data/generate/listops_tree.h"
#include "data/generate/parallel.h"
#include "data/generate/target_folder.h"
#include "data/provenance.h"
#include "data/tasks/listops_expression.h"
#include "data/tasks/listops_files.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/log.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int kListOpsGeneratorVersion = 1;  // raise it when equal parameters would give other bytes
constexpr int64_t kMaxRows = 100'000'000;

void check_range(const char* option, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw Error(ErrorKind::usage,
              concat("generate: --", option, " must lie in ", low, "..", high, ", got ", value));
}

void validate(const ListopsParameters& p) {
  check_range("train", p.train, 1, kMaxRows);
  check_range("val", p.val, 1, kMaxRows);
  check_range("test", p.test, 1, kMaxRows);
  check_range("max-length", p.max_length, 2, 1'000'000);
  check_range("min-length", p.min_length, 0,
              p.max_length - 2);  // both bounds are strict: a length must fit between
  check_range("max-depth", p.max_depth, 1, 1000);
  check_range("max-args", p.max_args, 2, 1000);
  const auto wanted = static_cast<double>(p.train + p.val + p.test);
  const double distinct = listops::distinct_trees(p, wanted);
  if (distinct >= wanted) return;
  throw Error(ErrorKind::usage,
              concat("generate: ", format_count(static_cast<int64_t>(distinct)),
                     " distinct expressions have more than ", p.min_length, " and fewer than ", p.max_length,
                     " tokens with --max-depth ", p.max_depth, " and --max-args ", p.max_args, "; ",
                     format_count(p.train + p.val + p.test), " rows were asked for"));
}

struct DigestHash {
  size_t operator()(const XXH128_hash_t& digest) const { return digest.low64; }
};
struct DigestEqual {
  bool operator()(const XXH128_hash_t& a, const XXH128_hash_t& b) const { return XXH128_isEqual(a, b) != 0; }
};

struct Chosen {
  std::vector<uint64_t> candidates;  // indices of accepted trees
  uint64_t drawn = 0;
  int64_t max_bytes = 0;  // upper bound of what the rows take in the files
};

/// Accepts candidates in order until all rows are there. Work is counted in tokens, so that giving up does
/// not depend on the machine. Free space is asked for early, by what the first rows let expect.
Chosen choose_trees(const ListopsParameters& p, const TargetFolder& folder) {
  // Tokens drawn without a new tree before giving up; an official set draws some 2,000 for each.
  constexpr uint64_t kHopelessTokens = 1'000'000'000;
  constexpr size_t kSampleRows = 2000;
  const auto wanted = static_cast<size_t>(p.train + p.val + p.test);
  Chosen chosen;
  listops::TreeDrawer drawer(p);
  std::unordered_set<XXH128_hash_t, DigestHash, DigestEqual> seen;
  Progress progress("drawing expressions", static_cast<int64_t>(wanted), "rows");
  uint64_t idle_tokens = 0;
  while (chosen.candidates.size() < wanted) {
    stop_if_asked();
    const uint64_t index = chosen.drawn++;
    const bool fits = drawer.draw(index);
    const auto tokens = drawer.tokens();
    const auto length = static_cast<int64_t>(tokens.size());
    idle_tokens += tokens.size();
    if (fits && length > p.min_length && length < p.max_length &&
        seen.insert(XXH3_128bits(tokens.data(), tokens.size())).second) {
      chosen.candidates.push_back(index);
      chosen.max_bytes +=
          listops::Notation::max_characters(length, drawer.operators()) + 4;  // TAB, label, CRLF
      idle_tokens = 0;
      if (chosen.candidates.size() == kSampleRows) {
        folder.require_space(chosen.max_bytes / static_cast<int64_t>(kSampleRows) *
                             static_cast<int64_t>(wanted));
      }
      progress.update(static_cast<int64_t>(chosen.candidates.size()));
    } else if (idle_tokens > kHopelessTokens) {
      throw Error(ErrorKind::usage,
                  concat("generate: only ", format_count(static_cast<int64_t>(chosen.candidates.size())),
                         " of ", format_count(static_cast<int64_t>(wanted)),
                         " distinct expressions found in ", format_count(static_cast<int64_t>(chosen.drawn)),
                         " draws; widen --min-length, --max-length, "
                         "--max-depth or --max-args, or ask for fewer rows"));
    }
  }
  return chosen;
}

/// Random order, independent of the draws.
std::vector<uint64_t> shuffled(const std::vector<uint64_t>& candidates, uint64_t seed) {
  constexpr uint64_t kOrderStream = ~uint64_t{0};  // no candidate has this index
  const auto order = mt_permutation(static_cast<uint32_t>(candidates.size()),
                                    static_cast<uint32_t>(mix_seeds(seed, kOrderStream)));
  std::vector<uint64_t> result(candidates.size());
  for (size_t i = 0; i < order.size(); ++i) result[i] = candidates[order[i]];
  return result;
}

/// Writes one TSV file as the official generator does, CRLF line ends included. Returns its entry of the
/// provenance record.
Json write_split(const fs::path& path, const ListopsParameters& p, std::span<const uint64_t> candidates,
                 Progress& progress, int64_t& rows_done) {
  constexpr size_t kPiece = size_t{1} << 18;
  FileWriter writer(path);
  Hasher hasher;
  listops::TreeDrawer drawer(p);
  listops::Notation notation;
  listops::Expression expression;
  std::string buffer = "Source\tTarget\r\n";
  const auto flush = [&] {
    writer.write(buffer);
    hasher.update(buffer);
    buffer.clear();
    progress.update(rows_done);
  };
  for (const uint64_t index : candidates) {
    stop_if_asked();
    drawer.draw(index);
    expression.begin();
    for (const uint8_t token : drawer.tokens()) expression.push(token);
    if (!expression.finish())
      throw Error(ErrorKind::internal, "generated expression is broken: " + expression.problem());
    notation.append(drawer.tokens(), buffer);
    buffer += '\t';
    buffer += static_cast<char>('0' + expression.value());
    buffer += "\r\n";
    ++rows_done;
    if (buffer.size() > kPiece) flush();
  }
  flush();
  const int64_t bytes = writer.position();
  writer.commit();
  return {{"rows", candidates.size()}, {"bytes", bytes}, {"xxh3_128", hasher.digest()}};
}

Json provenance_record(const ListopsParameters& p) {
  return {{"generator", "lotformer-data generate --task listops"},
          {"version", kListOpsGeneratorVersion},
          {"origin", has_official_distribution(p) ? "generated" : "synthetic"},
          {"task", "listops"},
          {"seed", p.seed},
          {"parameters", to_json(p)},
          {"counts", {{"train", p.train}, {"val", p.val}, {"test", p.test}}}};
}

void write_set(const fs::path& directory, const ListopsParameters& p, const Chosen& chosen,
               ListopsGeneration& result) {
  const std::vector<uint64_t> order = shuffled(chosen.candidates, p.seed);
  const std::array<int64_t, 3> rows = {p.train, p.val, p.test};
  Json record = provenance_record(p);
  Progress progress("writing " + std::string(listops::kDirectoryName), static_cast<int64_t>(order.size()),
                    "rows");
  size_t begin = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto split = std::span(order).subspan(begin, static_cast<size_t>(rows[i]));
    const Json entry = write_split(directory / listops::kFileNames[i], p, split, progress, result.rows);
    record["files"][listops::kFileNames[i]] = entry;
    result.bytes += entry["bytes"].get<int64_t>();
    begin += split.size();
  }
  write_atomic(directory / kProvenanceFile, to_pretty_text(record));  // last: it says that the set is whole
}

/// Whether `directory` holds this very set; Error(data) when it holds another one or files that are not ours.
bool is_there(const fs::path& root, const fs::path& directory, const ListopsParameters& p) {
  const std::string remedy = "; choose another --root or remove that folder first";
  const size_t missing = listops::missing_files(directory).size();
  const Json record = read_own_provenance(directory, directory, "listops");
  if (record.is_null()) {
    if (missing == listops::kFileNames.size()) return false;
    throw Error(ErrorKind::data,
                concat(directory.string(), ": holds ListOps files without a provenance record (",
                       kProvenanceFile, "), perhaps the official ones; they are not overwritten", remedy));
  }
  const std::string where = (directory / kProvenanceFile).string();
  std::string difference = first_difference(listops_parameters_from_json(record, where), p);
  const auto version = json_get<int64_t>(record, "version", where, ErrorKind::data);
  if (version != kListOpsGeneratorVersion)
    difference = concat("generator version is ", version, ", wanted ", kListOpsGeneratorVersion);
  if (!difference.empty()) {
    throw Error(ErrorKind::data, concat(directory.string(), ": holds a set made with other parameters (",
                                        difference, ")", remedy));
  }
  if (missing > 0) return false;
  check_files(record, directory, listops::message_prefix(root, directory), false);
  return true;
}

}  // namespace

ListopsGeneration generate_listops(const fs::path& root, const ListopsParameters& parameters) {
  validate(parameters);
  ListopsGeneration result;
  const fs::path found = listops::find_directory(root);
  result.directory = found.empty() ? root / listops::kDirectoryName : found;
  TargetFolder::check_root(root);
  const auto already_there = [&] {
    if (!is_there(root, result.directory, parameters)) return false;
    result.already_there = true;
    result.rows = parameters.train + parameters.val + parameters.test;
    for (const char* name : listops::kFileNames)
      result.bytes += static_cast<int64_t>(fs::file_size(result.directory / name));
    return true;
  };
  if (already_there()) return result;
  lotformer::create_directories(root);
  const FileLock lock = FileLock::wait(root / (std::string(".") + listops::kDirectoryName + ".lock"),
                                       "it generates ListOps in " + root.string());
  if (already_there()) return result;                   // the other process has made it meanwhile
  const StopSignals stop(StopSignals::Ignored::leave);  // not while it waits for the lock
  const TargetFolder folder(result.directory, {listops::kFileNames.begin(), listops::kFileNames.end()});
  const Chosen chosen = choose_trees(parameters, folder);
  folder.require_space(chosen.max_bytes);
  folder.begin();
  write_set(folder.partial(), parameters, chosen, result);
  folder.publish();
  result.candidates = static_cast<int64_t>(chosen.drawn);
  return result;
}

}  // namespace lotformer::data
