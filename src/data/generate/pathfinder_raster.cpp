// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "data/generate/pathfinder_drawing.h"

namespace lotformer::data::pathfinder {
namespace {

/// Drawing at twice the size, as the original does against jagged edges.
class Canvas {
 public:
  explicit Canvas(int64_t size) : edge_(2 * size), values_(static_cast<size_t>(edge_ * edge_), 0.0) {}

  /// Everything within `radius` of the segment gets at least `value`, less at its soft edge.
  void stroke(const Dash& dash, double radius, double value, double softness) {
    const double reach = radius + softness / 2;
    const auto first = [&](double a, double b) {
      return std::max<int64_t>(0, static_cast<int64_t>(std::floor(2 * (std::min(a, b) - reach))));
    };
    const auto last = [&](double a, double b) {
      return std::min<int64_t>(edge_ - 1, static_cast<int64_t>(std::floor(2 * (std::max(a, b) + reach) + 2)));
    };
    const double dx = dash.head.x - dash.tail.x, dy = dash.head.y - dash.tail.y;
    const double length = dx * dx + dy * dy;
    for (int64_t row = first(dash.tail.y, dash.head.y); row <= last(dash.tail.y, dash.head.y); ++row) {
      for (int64_t column = first(dash.tail.x, dash.head.x); column <= last(dash.tail.x, dash.head.x);
           ++column) {
        const double x = place(column) - dash.tail.x, y = place(row) - dash.tail.y;
        const double t = length > 0 ? std::clamp((x * dx + y * dy) / length, 0.0, 1.0) : 0;
        const double distance = std::sqrt((x - t * dx) * (x - t * dx) + (y - t * dy) * (y - t * dy));
        const double cover = softness > 0 ? std::clamp((reach - distance) / softness, 0.0, 1.0)
                                          : (distance <= radius ? 1.0 : 0.0);
        double& cell = values_[static_cast<size_t>(row * edge_ + column)];
        cell = std::max(cell, value * cover);
      }
    }
  }

  /// Means of two by two cells, at most 1.
  std::vector<double> halved() const {
    const int64_t size = edge_ / 2;
    std::vector<double> result(static_cast<size_t>(size * size));
    for (int64_t y = 0; y < size; ++y) {
      for (int64_t x = 0; x < size; ++x) {
        const auto at = static_cast<size_t>(2 * y * edge_ + 2 * x);
        const auto below = at + static_cast<size_t>(edge_);
        const double sum = values_[at] + values_[at + 1] + values_[below] + values_[below + 1];
        result[static_cast<size_t>(y * size + x)] = std::min(sum / 4, 1.0);
      }
    }
    return result;
  }

 private:
  static double place(int64_t cell) { return (static_cast<double>(cell) + 0.5) / 2 - 0.5; }
  int64_t edge_;
  std::vector<double> values_;
};

}  // namespace

std::vector<uint8_t> rasterise(const Picture& picture, const Settings& settings) {
  constexpr double kCell = 0.5;  // softness of a stroke's edge: one cell
  Canvas canvas(settings.size);
  const double value = settings.contour_contrast * settings.dash_contrast;
  for (const auto& contour : picture.contours) {
    for (const Dash& dash : contour) canvas.stroke(dash, settings.thickness / 2, value, kCell);
  }
  for (const Point& disc : picture.discs) canvas.stroke({disc, disc}, settings.disc_radius, 1.0, 0);
  const std::vector<double> cells = canvas.halved();
  const double brightest = *std::max_element(cells.begin(), cells.end());
  std::vector<uint8_t> pixels(cells.size());
  std::transform(cells.begin(), cells.end(), pixels.begin(),
                 [&](double cell) { return static_cast<uint8_t>(std::floor(cell / brightest * 255 + 0.5)); });
  return pixels;
}

}  // namespace lotformer::data::pathfinder
