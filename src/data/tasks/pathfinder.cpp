// SPDX-License-Identifier: MIT
#include "data/tasks/pathfinder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "data/cache.h"
#include "data/generate/generators.h"
#include "data/split_order.h"
#include "data/tasks/directory_task.h"
#include "data/tasks/pathfinder_metadata.h"
#include "data/tasks/png.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/log.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

using pathfinder::Image;

// Part of the caches' identity: raise it when rows would be read otherwise.
constexpr int kPathfinderReaderVersion = 3;
constexpr int64_t kOfficialImages = 200000;
constexpr int64_t kMostBytes = int64_t{1} << 20;       // of one PNG file
constexpr size_t kTfdsRank = 1;                        // index of Dataset::property
constexpr size_t kKnownBadExtra = 0, kEmptyExtra = 1;  // of the cache: images left out

struct Difficulty {
  std::string_view name, folder;
};
constexpr std::array<Difficulty, 3> kDifficulties = {{
    {"easy", "curv_baseline"},
    {"intermediate", "curv_contour_length_9"},
    {"hard", "curv_contour_length_14"},
}};

/// Images of the release that have 0 bytes. They are left out, with a line in the log.
struct KnownBad {
  int64_t edge;
  std::string_view difficulty, file;
};
constexpr std::array<KnownBad, 1> kKnownBad = {{{32, "easy", "imgs/0/sample_172.png"}}};

std::string folder_of(const std::string& difficulty) {
  for (const Difficulty& row : kDifficulties) {
    if (row.name == difficulty) return std::string(row.folder);
  }
  throw Error(ErrorKind::internal, "pathfinder: no folder for difficulty " + difficulty);
}

class PathfinderTask final : public DirectoryTask {
 public:
  PathfinderTask(std::string name, int64_t edge, const DataOptions& options);
  std::string name() const override { return name_; }
  int64_t vocab_size() const override { return 256; }
  int64_t max_length() const override { return std::max(edge_ * edge_, options_.pad_to); }
  std::vector<std::string> class_names() const override { return {"different", "same"}; }
  Vocabulary vocabulary() const override { return grey_values(); }
  Dataset open(Split split) override;
  std::vector<Attribute> attributes() const override { return {class_attribute(2)}; }

 private:
  void find_files();
  int64_t expected_files() const;
  std::string source_digest() const;
  int64_t count_listed() const;
  void check_count(int64_t listed) const;
  void require_space(int64_t images) const;
  std::shared_ptr<const Cache> decoded();
  void decode(CacheBuilder& builder) const;
  bool is_known_bad(const std::string& file) const;
  void log_left_out(const Cache& cache) const;
  std::vector<uint32_t> order(const Cache& cache) const;

  std::string name_;
  int64_t edge_;
  std::shared_ptr<const Cache> decoded_;
};

PathfinderTask::PathfinderTask(std::string name, int64_t edge, const DataOptions& options)
    : DirectoryTask(options), name_(std::move(name)), edge_(edge) {
  find_files();
  read_record(concat("pathfinder", edge_));
  if (options_.split == "tfds") {
    log::warning(concat(name_,
                        ": data.split tfds is experimental: derived from the source of Google's pipeline, "
                        "never compared with a run of it"));
  }
}

void PathfinderTask::find_files() {
  const std::string leaf = folder_of(options_.difficulty), set = concat("pathfinder", edge_);
  const Layout layout = {{set + "/" + leaf, "pathfinder/" + set + "/" + leaf, leaf}, {"metadata", "imgs"}};
  directory_ = require_directory(options_.root, layout,
                                 concat("wanted: the metadata and imgs of ", set, ", difficulty ",
                                        options_.difficulty, ", from the release, see scripts/get_lra.sh"));
  prefix_ = message_prefix(options_.root, directory_);
  const std::string found = fs::weakly_canonical(directory_).filename().string();
  for (const Difficulty& row : kDifficulties) {
    if (found == row.folder && found != leaf) {
      throw Error(ErrorKind::usage, concat("data.root: ", directory_.string(), " holds the difficulty ",
                                           row.name, ", but data.difficulty is ", options_.difficulty));
    }
  }
}

/// Entries below imgs, for the progress line: images and a folder for each thousand; 0 when the record does
/// not tell.
int64_t PathfinderTask::expected_files() const {
  static const Json::json_pointer place("/folders/imgs/files");
  int64_t images = is_official() ? kOfficialImages : 0;
  if (provenance_.contains(place) && provenance_.at(place).is_number_integer())
    images = std::clamp<int64_t>(provenance_.at(place).get<int64_t>(), 0, int64_t{1} << 40);
  return images + images / 1000;
}

/// Names, sizes and times of the metadata, and the number of image files: 200,000 files are counted, not
/// looked at one by one.
std::string PathfinderTask::source_digest() const {
  SourceIdentity identity(concat("pathfinder reader ", kPathfinderReaderVersion, " ", edge_, " ",
                                 options_.difficulty, options_.skip_empty_images ? " skip" : ""));
  for (const auto& file : pathfinder::list_metadata(directory_, prefix_, links()))
    identity.add_file(directory_, file.name, prefix_);
  Progress progress("counting the images of " + name_, expected_files(), "files");
  int64_t files = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator it(directory_ / "imgs", code);
       !code && it != fs::recursive_directory_iterator(); it.increment(code))
    progress.update(++files);
  identity.add(std::to_string(files));
  return identity.digest();
}

int64_t PathfinderTask::count_listed() const {
  int64_t listed = 0;
  pathfinder::read_metadata(directory_, prefix_, links(), [&](const Image&) { ++listed; });
  return listed;
}

void PathfinderTask::check_count(int64_t listed) const {
  if (!options_.strict_counts || !is_official() || listed == kOfficialImages) return;
  throw DataError::at_file(prefix_ + "metadata",
                           concat("lists ", listed, " images, ", kOfficialImages,
                                  " wanted (data.strict_counts=false takes any number)"));
}

/// Gigabytes are better refused now than after minutes.
void PathfinderTask::require_space(int64_t images) const {
  const fs::path folder = cache_directory(directory_);
  const int64_t needed = images * edge_ * edge_, free = free_disk_bytes(folder);
  if (free >= needed) return;
  throw Error(ErrorKind::disk, concat("the cache of ", name_, " needs ", format_bytes(needed), " in ",
                                      folder.string(), ", where ", format_bytes(free), " are free"));
}

bool PathfinderTask::is_known_bad(const std::string& file) const {
  return std::any_of(kKnownBad.begin(), kKnownBad.end(), [&](const KnownBad& bad) {
    return bad.edge == edge_ && bad.difficulty == options_.difficulty && bad.file == file;
  });
}

void PathfinderTask::decode(CacheBuilder& builder) const {
  const int64_t listed = count_listed();
  check_count(listed);
  require_space(listed);
  FileFence files = fence();
  Progress progress("reading " + name_, listed, "images");
  std::string file, bytes;
  std::vector<uint8_t> pixels(static_cast<size_t>(edge_ * edge_));
  std::vector<std::string> keys;
  uint64_t known_bad = 0, empty = 0;
  pathfinder::read_metadata(directory_, prefix_, links(), [&](const Image& image) {
    file = concat(image.folder, "/", image.file);
    files.read(file, kMostBytes, bytes);
    if (bytes.empty()) {
      const bool known = is_known_bad(file);
      if (!known && !options_.skip_empty_images)
        throw DataError::at_file(prefix_ + file, "image file is empty (0 bytes)");
      ++(known ? known_bad : empty);
      log::warning(concat(prefix_, printable(file), ": 0 bytes, left out (",
                          known ? "a known fault of the release" : "data.skip_empty_images", ")"));
      return;
    }
    if (const std::string problem = decode_grey_png(bytes, edge_, pixels); !problem.empty())
      throw DataError::at_file(prefix_ + file, problem);
    const auto ink = static_cast<uint32_t>(pixels.size()) -
                     static_cast<uint32_t>(std::count(pixels.begin(), pixels.end(), uint8_t{0}));
    builder.add_document(pixels);
    keys.push_back(concat(image.folder, "_", image.file, "_", image.line));
    const std::array<uint32_t, 4> properties = {ink, 0, static_cast<uint32_t>(image.batch),
                                                static_cast<uint32_t>(image.line)};
    builder.end_row(image.label, properties, false);
    progress.update(builder.rows());
  });
  if (keys.empty())
    throw DataError::at_file(prefix_ + "metadata", "no example is left: every image is empty");
  const auto ranked = tfds_order(static_cast<uint32_t>(keys.size()), options_.difficulty,
                                 [&](uint32_t row) { return keys[row]; });
  for (uint32_t rank = 0; rank < ranked.size(); ++rank) builder.set_property(ranked[rank], kTfdsRank, rank);
  builder.set_extra(kKnownBadExtra, known_bad);
  builder.set_extra(kEmptyExtra, empty);
}

void PathfinderTask::log_left_out(const Cache& cache) const {
  const auto& extras = cache.footer.extras;
  const auto left_out = static_cast<int64_t>(extras[kKnownBadExtra] + extras[kEmptyExtra]);
  if (left_out == 0) return;
  log::warning(concat(name_, ": ", format_count(left_out), " of ",
                      format_count(left_out + static_cast<int64_t>(cache.footer.rows)),
                      " images have 0 bytes and were left out"));
}

std::shared_ptr<const Cache> PathfinderTask::decoded() {
  if (decoded_) return decoded_;
  CacheRequest request = cache_request();
  request.name = concat("images", options_.skip_empty_images ? "-skip" : "", ".cache");
  request.source = source_digest();
  request.shape.properties = 4;
  request.shape.row_bytes = static_cast<uint64_t>(edge_ * edge_);
  request.limits = {
      .classes = 2, .vocabulary = fixed_vocabulary(vocab_size()), .ink = true, .rank = kTfdsRank};
  request.build = [&](CacheBuilder& builder) {
    decode(builder);
    if (source_digest() != request.source)
      throw DataError::at_file(prefix_ + "metadata", "the files changed while they were read");
  };
  decoded_ = open_cache(request);
  const auto& footer = decoded_->footer;
  check_count(static_cast<int64_t>(footer.rows + footer.extras[kKnownBadExtra] + footer.extras[kEmptyExtra]));
  log_left_out(*decoded_);
  return decoded_;
}

std::vector<uint32_t> PathfinderTask::order(const Cache& cache) const {
  const auto rows = static_cast<uint32_t>(cache.footer.rows);
  if (options_.split == "sequential") return file_order(rows);
  if (options_.split != "tfds") return torch42_order(rows);
  std::vector<uint32_t> order(rows);
  for (uint32_t row = 0; row < rows; ++row)
    order[cache.properties[row * cache.footer.properties + kTfdsRank]] = row;
  return order;
}

/// Where validation and test begin. torch42 and sequential: a tenth each, rounded down; tfds: 80 % and 90 %,
/// rounded to the nearest, to the even one between two.
std::pair<uint64_t, uint64_t> boundaries(const std::string& split, uint64_t rows) {
  if (split != "tfds") return {rows - 2 * (rows / 10), rows - rows / 10};
  const auto percent = [rows](uint64_t tenths) {
    const uint64_t whole = rows * tenths / 10, rest = rows * tenths % 10;
    return whole + (rest > 5 || (rest == 5 && whole % 2 == 1) ? 1 : 0);
  };
  return {percent(8), percent(9)};
}

Dataset PathfinderTask::open(Split split) {
  const auto cache = decoded();
  const std::vector<uint32_t> rows = order(*cache);
  const auto [val, test] = boundaries(options_.split, rows.size());
  const uint64_t first = split == Split::train ? 0 : split == Split::val ? val : test;
  const uint64_t last = split == Split::train ? val : split == Split::val ? test : rows.size();
  const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(first);
  const Dataset dataset = some_rows(cache, {begin, rows.begin() + static_cast<std::ptrdiff_t>(last)}, 0);
  return options_.mask_zero_pixels ? with_masked_zeros(dataset) : dataset;
}

TaskSpec spec_of(std::string_view name, int64_t edge, std::unique_ptr<Task> (*open)(const DataOptions&)) {
  return {.name = name,
          .family = "pathfinder",
          .length = {.own = edge * edge, .fixed = true},
          .vocabulary = Vocabulary::Kind::picture,
          .options = {{"split", {"tfds", "torch42", "sequential"}},
                      {"difficulty", {"easy", "intermediate"}},
                      {"strict_counts", {"false"}},
                      {"skip_empty_images", {"true"}},
                      {"mask_zero_pixels", {"true"}},
                      {"input", {"real"}}},
          .open = open,
          .generator = pathfinder_generator(edge)};
}

template <int64_t edge>
std::unique_ptr<Task> open_size(const DataOptions& options) {
  return std::make_unique<PathfinderTask>(concat("pathfinder", edge), edge, options);
}

std::unique_ptr<Task> open_pathx(const DataOptions& options) {
  return std::make_unique<PathfinderTask>("pathx", 128, options);
}

}  // namespace

TaskSpec pathfinder32_spec() {
  return spec_of("pathfinder32", 32, &open_size<32>);
}
TaskSpec pathfinder64_spec() {
  return spec_of("pathfinder64", 64, &open_size<64>);
}
TaskSpec pathfinder128_spec() {
  return spec_of("pathfinder128", 128, &open_size<128>);
}
TaskSpec pathfinder256_spec() {
  return spec_of("pathfinder256", 256, &open_size<256>);
}
TaskSpec pathx_spec() {
  return spec_of("pathx", 128, &open_pathx);
}

}  // namespace lotformer::data
