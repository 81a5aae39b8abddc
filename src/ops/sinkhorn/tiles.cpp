// SPDX-License-Identifier: MIT
#include "tiles.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

namespace lotformer::ops::sinkhorn {
namespace {

constexpr int64_t kCpuTile = int64_t{1} << 18;     // 1 MiB in float32
constexpr int64_t kDeviceTile = int64_t{1} << 25;  // 128 MiB in float32
constexpr double kLeastExponent = -80;

at::Tensor without_absent(const at::Tensor& potential, const at::Tensor& absent) {
  if (!absent.defined()) return potential;
  return potential.masked_fill(absent, -std::numeric_limits<double>::infinity());
}

}  // namespace

int64_t tile_entries(const at::Tensor& x) {
  return x.is_cpu() ? kCpuTile : kDeviceTile;
}

void for_each_tile(const Points& points, int major, const std::function<void(const Tile&)>& work) {
  const int64_t total = points.tokens(major);
  const int64_t row = std::max<int64_t>(1, points.problems() * points.tokens(1 - major));
  const int64_t count = std::max<int64_t>(1, tile_entries(points.x[0]) / row);
  for (int64_t first = 0; first < total; first += count) work({first, std::min(count, total - first)});
}

at::Tensor tile_logits(const Points& points, int major, const Tile& tile, const at::Tensor& other) {
  return at::baddbmm(other.unsqueeze(1), tile.of(points.x[major]), points.x[1 - major].transpose(1, 2));
}

void exponentiate(at::Tensor& x) {
  if (x.is_cpu()) x.clamp_min_(kLeastExponent);
  x.exp_();
}

at::Tensor tile_plan(const Points& points, int major, const Tile& tile, const at::Tensor& potential,
                     const at::Tensor& other) {
  at::Tensor plan = tile_logits(points, major, tile, other);
  plan += tile.of(potential).unsqueeze(-1);
  exponentiate(plan);
  return plan;
}

at::Tensor zero_potential(const Points& points, int side) {
  return without_absent(at::zeros({points.problems(), points.tokens(side)}, points.x[side].options()),
                        points.absent[side]);
}

at::Tensor half_iteration(const Points& points, int major, const at::Tensor& other,
                          const TileVisitor& visit) {
  at::Tensor potential = at::empty({points.problems(), points.tokens(major)}, points.x[major].options());
  for_each_tile(points, major, [&](const Tile& tile) {
    at::Tensor logits = tile_logits(points, major, tile, other);
    const at::Tensor largest = logits.amax(-1, /*keepdim=*/true);
    logits -= largest;
    exponentiate(logits);
    const at::Tensor sums = logits.sum(-1, /*keepdim=*/true);
    tile.of(potential).copy_((largest + sums.log()).neg_().squeeze(-1));
    if (visit) visit(tile, logits, sums);
  });
  return without_absent(potential, points.absent[major]);
}

}  // namespace lotformer::ops::sinkhorn
