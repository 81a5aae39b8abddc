// SPDX-License-Identifier: MIT
#include "data/generate/pathfinder_drawing.h"

#include <algorithm>

#include "data/generate/portable_math.h"
#include "lotformer/core/error.h"

namespace lotformer::data::pathfinder {
namespace {

Point along(const Point& start, const Point& direction, double distance) {
  return {start.x + direction.x * distance, start.y + direction.y * distance};
}

double squared_distance(const Point& p, const Dash& dash) {
  const double dx = dash.head.x - dash.tail.x, dy = dash.head.y - dash.tail.y;
  const double length = dx * dx + dy * dy;
  double t = length > 0 ? ((p.x - dash.tail.x) * dx + (p.y - dash.tail.y) * dy) / length : 0;
  t = std::clamp(t, 0.0, 1.0);
  const double x = p.x - dash.tail.x - t * dx, y = p.y - dash.tail.y - t * dy;
  return x * x + y * y;
}

/// Which side of the line through a and b the point lies on.
double side(const Point& a, const Point& b, const Point& p) {
  return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
}

bool crosses(const Dash& a, const Dash& b) {
  return side(a.tail, a.head, b.tail) * side(a.tail, a.head, b.head) < 0 &&
         side(b.tail, b.head, a.tail) * side(b.tail, b.head, a.head) < 0;
}

}  // namespace

double squared_distance(const Dash& a, const Dash& b) {
  if (crosses(a, b)) return 0;
  return std::min(std::min(squared_distance(a.tail, b), squared_distance(a.head, b)),
                  std::min(squared_distance(b.tail, a), squared_distance(b.head, a)));
}

struct Composer::State {
  Rng& rng;
  Picture picture;
  std::vector<std::vector<int>> headings;  // of each dash, in degrees
};

Composer::Composer(const Settings& settings) : settings_(settings) {
  for (int degree = 0; degree < 360; ++degree) {
    const double turns = degree / 360.0;
    directions_[static_cast<size_t>(degree)] = {portable::cos_turns(turns), portable::sin_turns(turns)};
  }
  const int most = static_cast<int>(90 / settings_.continuity);
  double sum = 0;
  for (int turn = -most; turn <= most; ++turn) {
    const double cosine = portable::cos_turns(turn * settings_.continuity / 360);
    sum += cosine * cosine;
    turns_.push_back(sum);
  }
}

int Composer::draw_turn(Rng& rng) const {
  const double place = rng.uniform() * turns_.back();
  const auto found = std::upper_bound(turns_.begin(), turns_.end() - 1, place);
  return static_cast<int>(found - turns_.begin()) - static_cast<int>(turns_.size() / 2);
}

/// Inside the window, and two margins from every other dash but the last of its own contour.
bool Composer::is_free(const State& state, const Dash& dash, size_t contour) const {
  const double reach = state.picture.margin + settings_.thickness / 2;
  const double low = settings_.padding + reach - 0.5;
  const double high = static_cast<double>(settings_.size) - 1 - low;
  for (const Point& p : {dash.tail, dash.head}) {
    if (p.x < low || p.x > high || p.y < low || p.y > high) return false;
  }
  const auto& contours = state.picture.contours;
  for (size_t i = 0; i < contours.size(); ++i) {
    const size_t dashes = contours[i].size() - (i == contour && !contours[i].empty() ? 1 : 0);
    for (size_t k = 0; k < dashes; ++k) {
      if (squared_distance(dash, contours[i][k]) < 4 * reach * reach) return false;
    }
  }
  return true;
}

/// The first dash of a contour: a target's lies in the middle, or one seed distance from the other's; a
/// distractor's anywhere.
bool Composer::place_seed(State& state, size_t contour) const {
  constexpr int kTrials = 30;
  Rng& rng = state.rng;
  const int64_t border = contour == 0 ? 2 * settings_.seed_distance : 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto heading = static_cast<int>(rng.below(360));
    Point start;
    if (contour == 1) {
      start = along(state.picture.contours[0][0].tail, directions_[rng.below(360)],
                    static_cast<double>(settings_.seed_distance));
    } else {
      const auto places = static_cast<uint64_t>(settings_.size - 2 * border);
      start.x = static_cast<double>(border + static_cast<int64_t>(rng.below(places)));
      start.y = static_cast<double>(border + static_cast<int64_t>(rng.below(places)));
    }
    const Dash dash = {start, along(start, directions_[static_cast<size_t>(heading)], settings_.dash_length)};
    if (!is_free(state, dash, contour)) continue;
    state.picture.contours[contour].push_back(dash);
    state.headings[contour].push_back(heading);
    return true;
  }
  return false;
}

/// The next dash: it begins one margin beyond a pivot that lies one margin beyond the last dash. Drawing
/// turns until one is free is drawing among the free ones by their weights.
bool Composer::extend(State& state, size_t contour) const {
  constexpr int kTrials = 20;
  const double margin = state.picture.margin;
  const Dash last = state.picture.contours[contour].back();
  const int last_heading = state.headings[contour].back();
  const Point pivot = along(last.head, directions_[static_cast<size_t>(last_heading)], margin);
  for (int trial = 0; trial < kTrials; ++trial) {
    const int heading = (last_heading + draw_turn(state.rng) + 360) % 360;
    const Point& direction = directions_[static_cast<size_t>(heading)];
    const Dash dash = {along(pivot, direction, margin),
                       along(pivot, direction, margin + settings_.dash_length)};
    if (!is_free(state, dash, contour)) continue;
    state.picture.contours[contour].push_back(dash);
    state.headings[contour].push_back(heading);
    return true;
  }
  return false;
}

bool Composer::grow_targets(State& state) const {
  state.picture.contours.assign(2, {});
  state.headings.assign(2, {});
  if (!place_seed(state, 0) || !place_seed(state, 1)) return false;
  constexpr int kDeadEnds = 60;
  const auto wanted = static_cast<size_t>(settings_.contour_length);
  const auto& contours = state.picture.contours;
  for (int dead_ends = 0; std::min(contours[0].size(), contours[1].size()) < wanted;) {
    const size_t shorter = contours[0].size() <= contours[1].size() ? 0 : 1;
    if (extend(state, shorter)) continue;
    if (++dead_ends > kDeadEnds) return false;
    retreat(state);
  }
  return true;
}

/// Takes back some dashes of both targets.
void Composer::retreat(State& state) const {
  constexpr uint64_t kMost = 3;
  const size_t dashes = 1 + state.rng.below(kMost);
  for (size_t contour = 0; contour < 2; ++contour) {
    auto& line = state.picture.contours[contour];
    const size_t left = line.size() > dashes ? line.size() - dashes : 1;
    line.resize(left);
    state.headings[contour].resize(left);
  }
}

bool Composer::grow_distractor(State& state) const {
  const size_t contour = state.picture.contours.size();
  state.picture.contours.emplace_back();
  state.headings.emplace_back();
  bool good = place_seed(state, contour);
  for (int64_t length = 1; good && length < settings_.distractor_length(); ++length)
    good = extend(state, contour);
  if (good) return true;
  state.picture.contours.pop_back();
  state.headings.pop_back();
  return false;
}

Picture Composer::compose(Rng& rng) const {
  constexpr int kRestarts = 100'000, kDistractorTrials = 4;
  State state{rng, {}, {}};
  Picture& picture = state.picture;
  picture.label = static_cast<int>(rng.below(2));
  picture.margin = settings_.margins[rng.below(settings_.margins.size())];
  while (!grow_targets(state)) {
    if (++picture.restarts > kRestarts)
      throw Error(ErrorKind::internal, "pathfinder: the contours find no place");
  }
  for (int64_t i = 0; i < settings_.distractors(); ++i) {
    for (int trial = 0; trial < kDistractorTrials && !grow_distractor(state); ++trial) {
    }
  }
  picture.discs[0] = picture.contours[0].front().tail;
  picture.discs[1] = picture.contours[picture.label == 1 ? 0 : 1].back().head;
  return picture;
}

}  // namespace lotformer::data::pathfinder
