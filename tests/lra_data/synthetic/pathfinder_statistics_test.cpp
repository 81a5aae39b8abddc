// SPDX-License-Identifier: MIT
// Pathfinder pictures against section 12 of the data contract.
#include <cmath>
#include <map>

#include "data/generate/pathfinder_drawing.h"
#include "lotformer/core/rng.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

using namespace pathfinder;

std::vector<Picture> pictures(const Settings& settings, int count) {
  const Composer composer(settings);
  std::vector<Picture> result;
  for (int i = 0; i < count; ++i) {
    Rng rng(mix_seeds(77, static_cast<uint64_t>(i)));
    result.push_back(composer.compose(rng));
  }
  return result;
}

double distance(const Point& a, const Point& b) {
  return std::hypot(a.x - b.x, a.y - b.y);
}

/// Degrees between the directions of two dashes.
double turn(const Dash& a, const Dash& b) {
  const double ax = a.head.x - a.tail.x, ay = a.head.y - a.tail.y;
  const double bx = b.head.x - b.tail.x, by = b.head.y - b.tail.y;
  return std::abs(std::atan2(ax * by - ay * bx, ax * bx + ay * by)) * 180 / M_PI;
}

uint8_t pixel(const std::vector<uint8_t>& pixels, const Settings& settings, double x, double y) {
  const auto column = static_cast<int64_t>(std::floor(x)), row = static_cast<int64_t>(std::floor(y));
  return pixels[static_cast<size_t>(row * settings.size + column)];
}

/// The brightest of the four pixels around a point.
uint8_t brightest(const std::vector<uint8_t>& pixels, const Settings& settings, const Point& p) {
  return std::max({pixel(pixels, settings, p.x, p.y), pixel(pixels, settings, p.x + 1, p.y),
                   pixel(pixels, settings, p.x, p.y + 1), pixel(pixels, settings, p.x + 1, p.y + 1)});
}

void check_contour(const std::vector<Dash>& contour, const Settings& settings, int margin) {
  for (size_t i = 0; i < contour.size(); ++i) {
    CHECK(distance(contour[i].tail, contour[i].head) == Catch::Approx(settings.dash_length));
    if (i == 0) continue;
    const double angle = turn(contour[i - 1], contour[i]);
    CHECK(angle < 90.5 / settings.continuity);
    // One margin straight on to the pivot, one margin in the new direction.
    const double gap = 2 * margin * std::cos(angle / 2 * M_PI / 180);
    CHECK(distance(contour[i - 1].head, contour[i].tail) == Catch::Approx(gap).margin(1e-6));
  }
}

/// No two dashes closer than two margins, edge to edge, but neighbours of one contour.
void check_clearance(const Picture& picture, const Settings& settings) {
  struct Placed {
    size_t contour, index;
    Dash dash;
  };
  std::vector<Placed> all;
  for (size_t c = 0; c < picture.contours.size(); ++c) {
    for (size_t i = 0; i < picture.contours[c].size(); ++i) all.push_back({c, i, picture.contours[c][i]});
  }
  const double wanted = 2 * picture.margin + settings.thickness;
  for (size_t a = 0; a < all.size(); ++a) {
    for (size_t b = a + 1; b < all.size(); ++b) {
      if (all[a].contour == all[b].contour && all[b].index == all[a].index + 1) continue;
      CHECK(std::sqrt(squared_distance(all[a].dash, all[b].dash)) >= wanted - 1e-9);
    }
  }
}

/// Everything that is lit belongs to a dash or a disc.
void check_pixels(const Picture& picture, const Settings& settings) {
  const auto pixels = rasterise(picture, settings);
  for (const Point& disc : picture.discs) CHECK(brightest(pixels, settings, disc) == 255);
  for (const auto& contour : picture.contours) {
    for (const Dash& dash : contour)
      CHECK(brightest(pixels, settings, {(dash.tail.x + dash.head.x) / 2, (dash.tail.y + dash.head.y) / 2}) >
            30);
  }
  const double reach = settings.thickness / 2 + 1.5;
  for (int64_t y = 0; y < settings.size; ++y) {
    for (int64_t x = 0; x < settings.size; ++x) {
      if (pixels[static_cast<size_t>(y * settings.size + x)] == 0) continue;
      const Point p{static_cast<double>(x), static_cast<double>(y)};
      bool near = distance(p, picture.discs[0]) < settings.disc_radius + 1.5 ||
                  distance(p, picture.discs[1]) < settings.disc_radius + 1.5;
      for (const auto& contour : picture.contours) {
        for (const Dash& dash : contour) near = near || squared_distance(dash, {p, p}) < reach * reach;
      }
      CHECK(near);
    }
  }
}

TEST_CASE("pathfinder: contours, gaps, turns, clearance, discs at the ends that the label says") {
  struct Case {
    int64_t size;
    const char* difficulty;
    int count;
    size_t contour, distractor;
  };
  for (const Case& c :
       {Case{32, "easy", 20, 6, 2}, Case{32, "intermediate", 20, 9, 3}, Case{32, "hard", 40, 14, 4},
        Case{64, "hard", 3, 14, 4}, Case{128, "hard", 6, 14, 4}, Case{256, "hard", 3, 14, 4}}) {
    const Settings settings = settings_for(c.size, c.difficulty);
    for (const Picture& picture : pictures(settings, c.count)) {
      REQUIRE(picture.contours.size() >= 2);
      CHECK(static_cast<int64_t>(picture.contours.size()) <= 2 + settings.distractors());
      for (size_t i = 0; i < picture.contours.size(); ++i) {
        CHECK(picture.contours[i].size() == (i < 2 ? c.contour : c.distractor));
        check_contour(picture.contours[i], settings, picture.margin);
      }
      const Point start = picture.contours[0].front().tail;
      CHECK(distance(start, picture.contours[1].front().tail) ==
            Catch::Approx(static_cast<double>(settings.seed_distance)));
      CHECK(distance(picture.discs[0], start) == 0);
      CHECK(distance(picture.discs[1], picture.contours[picture.label == 1 ? 0 : 1].back().head) == 0);
      check_clearance(picture, settings);
      check_pixels(picture, settings);
    }
  }
}

TEST_CASE("pathfinder: labels are balanced and show in nothing simple") {
  const Settings settings = settings_for(32, "hard");
  std::array<double, 2> count{}, ink{}, apart{};
  double distractors = 0;
  constexpr int kPictures = 1500;
  for (const Picture& picture : pictures(settings, kPictures)) {
    const auto label = static_cast<size_t>(picture.label);
    ++count[label];
    for (const uint8_t level : rasterise(picture, settings)) ink[label] += level > 0 ? 1 : 0;
    apart[label] += distance(picture.discs[0], picture.discs[1]);
    distractors += static_cast<double>(picture.contours.size()) - 2;
  }
  CHECK(count[1] / kPictures == Catch::Approx(0.5).margin(0.05));  // four standard errors
  CHECK(ink[0] / count[0] == Catch::Approx(ink[1] / count[1]).margin(4));
  CHECK(apart[0] / count[0] == Catch::Approx(apart[1] / count[1]).margin(1.5));
  CHECK(distractors / kPictures > 1.5);
}

TEST_CASE("pathfinder: the settings of the contract, 256 twice 128") {
  const Settings s32 = settings_for(32, "hard"), s64 = settings_for(64, "hard"),
                 s128 = settings_for(128, "hard");
  CHECK(s32.distractors() == 5);
  CHECK(s64.distractors() == 5);
  CHECK(s128.distractors() == 8);
  CHECK(settings_for(32, "easy").distractors() == 10);
  CHECK((s32.seed_distance == 7 && s64.seed_distance == 12 && s128.seed_distance == 20));
  const Settings s256 = settings_for(256, "hard");
  CHECK(s256.dash_length == 2 * s128.dash_length);
  CHECK(
      contains(error_of([] { settings_for(48, "hard"); }), "2: generate: Pathfinder has 32, 64, 128 or 256"));
  CHECK(contains(error_of([] { settings_for(32, "heavy"); }), "2: generate: --difficulty must be easy"));
}

TEST_CASE("pathfinder: the set is read back, with its labels, whatever the number of threads") {
  TemporaryFolder one, two;
  PathfinderParameters p;
  p.train = 840;
  p.val = p.test = 105;
  ::setenv("OMP_NUM_THREADS", "1", 1);
  generate_pathfinder(one.path(), p);
  ::setenv("OMP_NUM_THREADS", "5", 1);
  generate_pathfinder(two.path(), p);
  ::unsetenv("OMP_NUM_THREADS");
  const fs::path folder = "pathfinder32/curv_contour_length_14";
  CHECK(tree_digest(one.path() / folder) == tree_digest(two.path() / folder));
  CHECK(read_text(one.path() / folder / "metadata/1.npy").rfind("imgs/1 sample_0.png 0 ", 0) == 0);
  const auto task = open_task("pathfinder32", options_at(one.path()));
  CHECK(task->data_origin() == "synthetic");
  const Dataset train = task->open(Split::train);
  CHECK(train.size() == 840);
  CHECK(task->open(Split::val).size() == 105);
  CHECK(task->open(Split::test).size() == 105);
  // Row by row the very pictures: property 2 and 3 are metadata file and line.
  const Settings settings = settings_for(32, "hard");
  const Composer composer(settings);
  for (int64_t row = 0; row < 20; ++row) {
    const auto index = static_cast<uint64_t>(train.property(row, 2) * 1000 + train.property(row, 3) - 1);
    Rng rng(mix_seeds(mix_seeds(0, 32 * 100 + 14), index));
    const Picture picture = composer.compose(rng);
    const auto bytes = train.bytes(row);
    CHECK(rasterise(picture, settings) == std::vector<uint8_t>(bytes.begin(), bytes.end()));
    CHECK(picture.label == train.label(row));
  }
}

}  // namespace
}  // namespace lotformer::data::test
