// SPDX-License-Identifier: MIT
#include "data/generate/pathfinder_drawing.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data::pathfinder {
namespace {

int64_t contour_length_of(std::string_view difficulty) {
  if (difficulty == "easy") return 6;
  if (difficulty == "intermediate") return 9;
  if (difficulty == "hard") return 14;
  throw Error(ErrorKind::usage,
              concat("generate: --difficulty must be easy, intermediate or hard, got ", quoted(difficulty)));
}

}  // namespace

Settings settings_for(int64_t size, std::string_view difficulty) {
  Settings s;
  s.size = size;
  s.contour_length = contour_length_of(difficulty);
  if (size == 32) {
    s.dash_length = 2, s.thickness = 0.5, s.margins = {1};
    s.seed_distance = 7, s.disc_radius = 1.5, s.continuity = 1.0;
    s.contour_contrast = 2, s.dash_contrast = 0.75, s.distractor_dashes = 20;
  } else if (size == 64) {
    s.dash_length = 5, s.thickness = 1, s.margins = {1};
    s.seed_distance = 12, s.disc_radius = 2.5, s.continuity = 1.8;
    s.contour_contrast = 0.8, s.dash_contrast = 1, s.distractor_dashes = 22;
  } else if (size == 128) {
    s.dash_length = 5, s.thickness = 1.5, s.margins = {2, 3};
    s.seed_distance = 20, s.disc_radius = 3, s.continuity = 1.8;
    s.contour_contrast = 0.9, s.dash_contrast = 1, s.distractor_dashes = 35;
  } else if (size == 256) {
    s.dash_length = 10, s.thickness = 3, s.margins = {4, 6};
    s.seed_distance = 40, s.disc_radius = 6, s.continuity = 1.8;
    s.contour_contrast = 0.9, s.dash_contrast = 1, s.distractor_dashes = 35;
  } else {
    throw Error(ErrorKind::usage, concat("generate: Pathfinder has 32, 64, 128 or 256 pixels, not ", size));
  }
  return s;
}

std::string folder_of(std::string_view difficulty) {
  const int64_t length = contour_length_of(difficulty);
  return length == 6 ? "curv_baseline" : concat("curv_contour_length_", length);
}

}  // namespace lotformer::data::pathfinder
