// SPDX-License-Identifier: MIT
// One Pathfinder picture: which dashes lie where, and their pixels. The procedure is that of Linsley et al.
// 2018 ("Learning long-range spatial dependencies with horizontal gated recurrent units") in the settings of
// the benchmark; places are kept as line segments, so that "may not touch" is a distance and not a raster.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/rng.h"

namespace lotformer::data::pathfinder {

/// Lengths in pixels. A dash is what the original program calls a paddle.
struct Settings {
  int64_t size = 0;
  double padding = 1;
  double dash_length = 0, thickness = 0;
  /// One is drawn for each picture; dashes of a contour are two margins apart.
  std::vector<int> margins;
  int64_t seed_distance = 0;
  double disc_radius = 0, continuity = 1;
  double contour_contrast = 1, dash_contrast = 1;
  /// In all of them together.
  int64_t distractor_dashes = 0;
  /// Dashes of a target contour.
  int64_t contour_length = 0;
  int64_t distractor_length() const { return contour_length / 3; }
  int64_t distractors() const { return distractor_dashes / distractor_length(); }
};

/// Error(usage) for a size or difficulty that does not exist. 32, 64 and 128 are the published settings; 256
/// is 128 with everything twice as large.
Settings settings_for(int64_t size, std::string_view difficulty);
/// "curv_baseline", "curv_contour_length_9", "curv_contour_length_14"
std::string folder_of(std::string_view difficulty);

struct Point {
  /// Pixel centres have whole coordinates.
  double x = 0, y = 0;
};
struct Dash {
  Point tail, head;
};
struct Picture {
  /// 1: both discs on contour 0; 0: the second on contour 1.
  int label = 0;
  int margin = 0;
  /// Attempts that ended without a place.
  int restarts = 0;
  /// The two targets first, then the distractors.
  std::vector<std::vector<Dash>> contours;
  std::array<Point, 2> discs;
};

/// Draws a picture's geometry. The same generator state gives the same picture everywhere.
class Composer {
 public:
  explicit Composer(const Settings& settings);
  Picture compose(Rng& rng) const;

 private:
  struct State;
  bool grow_targets(State& state) const;
  void retreat(State& state) const;
  bool grow_distractor(State& state) const;
  bool place_seed(State& state, size_t contour) const;
  bool extend(State& state, size_t contour) const;
  bool is_free(const State& state, const Dash& dash, size_t contour) const;
  int draw_turn(Rng& rng) const;

  Settings settings_;
  std::array<Point, 360> directions_;  // of whole degrees
  std::vector<double> turns_;          // cumulative weights of -n..n degrees
};

/// Grey values 0..255 [size * size], row by row.
std::vector<uint8_t> rasterise(const Picture& picture, const Settings& settings);

/// Distance between two dashes' centre lines, squared (0 when they cross).
double squared_distance(const Dash& a, const Dash& b);

}  // namespace lotformer::data::pathfinder
