// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "data/generate/generated_set.h"
#include "data/generate/parallel.h"
#include "data/generate/pathfinder_drawing.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"
#include "lotformer/data/png_writer.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int kPathfinderGeneratorVersion = 1;
constexpr int64_t kBatch = 1000;  // images of one folder, as in the official set

/// Readers give val and test a tenth each: other counts could not be read back.
void check_counts(const PathfinderParameters& p) {
  constexpr int64_t kMost = 100'000'000;
  check_option("train", p.train, 1, kMost);
  check_option("val", p.val, 0, kMost);
  check_option("test", p.test, 0, kMost);
  const int64_t images = p.train + p.val + p.test;
  if (p.val == images / 10 && p.test == p.val) return;
  throw Error(ErrorKind::usage,
              concat("generate: Pathfinder is divided 8 : 1 : 1 when it is read; ", images, " images give ",
                     images - 2 * (images / 10), " / ", images / 10, " / ", images / 10, ", not ", p.train,
                     " / ", p.val, " / ", p.test, " (--train alone is enough)"));
}

SetPlan plan_of(const PathfinderParameters& p, const pathfinder::Settings& settings) {
  SetPlan plan;
  const std::string name = concat("pathfinder", p.size);
  const std::string leaf = pathfinder::folder_of(p.difficulty);
  plan.task = name;
  plan.version = kPathfinderGeneratorVersion;
  plan.folder = fs::path(name) / leaf;
  plan.other_folders = {concat("pathfinder/", name, "/", leaf), leaf};
  plan.own = {"imgs", "metadata"};
  plan.markers = plan.own;
  plan.parameters = {{"seed", p.seed},
                     {"size", p.size},
                     {"difficulty", p.difficulty},
                     {"contour_length", settings.contour_length},
                     {"images", p.train + p.val + p.test}};
  plan.counts = {{"train", p.train}, {"val", p.val}, {"test", p.test}};
  plan.examples = p.train + p.val + p.test;
  const int64_t blocks = 1 + p.size * p.size / 16384;  // mostly black: a quarter of the pixels' bytes
  plan.max_bytes = plan.examples * blocks * 4096;
  return plan;
}

/// One line of a metadata file (data contract, section 6).
std::string metadata_line(int64_t index, const pathfinder::Picture& picture,
                          const pathfinder::Settings& settings) {
  const auto decimal = [](double value) { return format_fixed(value, 1); };
  return concat("imgs/", index / kBatch, " sample_", index % kBatch, ".png ", index % kBatch, " ",
                picture.label, " ", decimal(settings.continuity), " ", settings.contour_length, " ",
                settings.distractor_length(), " ", static_cast<int64_t>(settings.dash_length), " ",
                decimal(settings.thickness), " ", picture.margin, " 1\n");
}

class ImageWriter {
 public:
  ImageWriter(const fs::path& folder, const PathfinderParameters& p, const pathfinder::Settings& settings)
      : folder_(folder),
        settings_(settings),
        composer_(settings),
        stream_(mix_seeds(p.seed, static_cast<uint64_t>(p.size * 100 + settings.contour_length))),
        lines_(static_cast<size_t>(p.train + p.val + p.test)),
        progress_("drawing " + pathfinder::folder_of(p.difficulty), static_cast<int64_t>(lines_.size()),
                  "images") {}

  Json run() {
    const auto images = static_cast<int64_t>(lines_.size());
    for (int64_t batch = 0; batch * kBatch < images; ++batch)
      lotformer::create_directories(folder_ / "imgs" / std::to_string(batch));
    lotformer::create_directories(folder_ / "metadata");
    constexpr int64_t kPiece = 20;
    for_each_in_parallel((images + kPiece - 1) / kPiece, [&](int64_t piece) {
      const int64_t end = std::min(images, (piece + 1) * kPiece);
      for (int64_t index = piece * kPiece; index < end; ++index) write_image(index);
      const std::lock_guard lock(mutex_);
      progress_.update(done_ += end - piece * kPiece);
    });
    const int64_t metadata_bytes = write_metadata();
    const int64_t batches = (images + kBatch - 1) / kBatch;
    return {{"folders",
             {{"imgs", folder_entry(images, bytes_)}, {"metadata", folder_entry(batches, metadata_bytes)}}}};
  }

 private:
  void write_image(int64_t index) {
    Rng rng(mix_seeds(stream_, static_cast<uint64_t>(index)));
    const pathfinder::Picture picture = composer_.compose(rng);
    const auto edge = static_cast<uint32_t>(settings_.size);
    const std::string png = encode_png(pathfinder::rasterise(picture, settings_), edge, edge);
    write_small_file(
        folder_ / "imgs" / std::to_string(index / kBatch) / concat("sample_", index % kBatch, ".png"), png);
    lines_[static_cast<size_t>(index)] = metadata_line(index, picture, settings_);
    bytes_ += static_cast<int64_t>(png.size());
  }

  int64_t write_metadata() {
    int64_t bytes = 0;
    for (size_t begin = 0; begin < lines_.size(); begin += kBatch) {
      std::string text;
      for (size_t i = begin; i < std::min(lines_.size(), begin + kBatch); ++i) text += lines_[i];
      write_small_file(folder_ / "metadata" / concat(begin / kBatch, ".npy"), text);
      bytes += static_cast<int64_t>(text.size());
    }
    return bytes;
  }

  fs::path folder_;
  pathfinder::Settings settings_;
  pathfinder::Composer composer_;
  uint64_t stream_;
  std::vector<std::string> lines_;
  std::atomic<int64_t> bytes_{0};
  std::mutex mutex_;
  Progress progress_;
  int64_t done_ = 0;
};

}  // namespace

Generation generate_pathfinder(const fs::path& root, const PathfinderParameters& parameters) {
  const pathfinder::Settings settings = pathfinder::settings_for(parameters.size, parameters.difficulty);
  check_counts(parameters);
  return make_set(root, plan_of(parameters, settings),
                  [&](const fs::path& folder) { return ImageWriter(folder, parameters, settings).run(); });
}

}  // namespace lotformer::data
