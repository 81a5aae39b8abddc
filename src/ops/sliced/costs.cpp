// SPDX-License-Identifier: MIT
// Walks tiles of the distance matrix through the slices, a chunk of slices at a time.
#include <algorithm>
#include <memory>

#include "cost.h"
#include "kernels.h"

namespace lotformer::ops {
namespace {

/// Slices held at once: each keeps O(n p) numbers, and every chunk computes the distances again.
constexpr size_t kChunk = 8;

template <class T>
using Slices = std::vector<std::unique_ptr<SliceCost<T>>>;

/// Calls work(chunk of slice numbers, their SliceCosts).
template <class T, class Work>
void for_each_chunk(const SlicedProblem<T>& problem, const std::vector<int64_t>& wanted, const Work& work) {
  for (size_t first = 0; first < wanted.size(); first += kChunk) {
    const std::vector<int64_t> chunk(wanted.begin() + first,
                                     wanted.begin() + std::min(first + kChunk, wanted.size()));
    Slices<T> slices;
    for (const int64_t slice : chunk) slices.push_back(std::make_unique<SliceCost<T>>(problem, slice));
    work(chunk, slices);
  }
}

/// Calls work(tile) with the distances of at most kTileTokens rows to all tokens y. Lanes beyond the rows
/// repeat the first.
template <class T, class Work>
void for_each_tile(const SlicedProblem<T>& p, const CostRows& rows, CostTile<T>& tile, const Work& work) {
  tile.x.resize(p.dim * kTileTokens);
  tile.distance.resize(p.tokens * kTileTokens);
  const int64_t total = static_cast<int64_t>(rows.tokens.size());
  for (int64_t first = 0; first < total; first += kTileTokens) {
    const int64_t end = std::min(first + kTileTokens, total);
    tile.tokens.assign(rows.tokens.begin() + first, rows.tokens.begin() + end);
    for (int64_t i = 0; i < kTileTokens; ++i) {
      const T* token = p.x + tile.tokens[i < end - first ? i : 0] * p.dim;
      for (int64_t k = 0; k < p.dim; ++k) tile.x[k * kTileTokens + i] = token[k];
    }
    distances<T>({tile.x.data(), p.y, p.tokens, p.dim}, tile.distance.data());
    work(tile);
  }
}

/// The gradient of the distances of one tile, passed on to the tokens. Derivative 0 at distance 0.
template <class T>
void pull_tokens(const SlicedProblem<T>& p, CostTile<T>& tile, Scratch<T>& scratch,
                 const SlicedGradients<T>& gradients) {
  for (size_t i = 0; i < tile.distance.size(); ++i) {
    tile.d_distance[i] = tile.distance[i] == 0 ? T(0) : tile.d_distance[i] / tile.distance[i];
  }
  scratch.assign(p.dim * kTileTokens, T(0));
  distance_gradient<T>({tile.x.data(), p.y, p.tokens, p.dim}, tile.d_distance.data(), scratch.data(),
                       gradients.y);
  for (size_t i = 0; i < tile.tokens.size(); ++i) {
    for (int64_t k = 0; k < p.dim; ++k)
      gradients.x[tile.tokens[i] * p.dim + k] += scratch[k * kTileTokens + i];
  }
}

}  // namespace

template <class T>
std::vector<double> slice_costs(const SlicedProblem<T>& problem, const CostRows& rows) {
  std::vector<double> costs(problem.slices);
  std::vector<int64_t> all(problem.slices);
  for (int64_t slice = 0; slice < problem.slices; ++slice) all[slice] = slice;
  CostTile<T> tile;
  for_each_chunk(problem, all, [&](const std::vector<int64_t>& chunk, Slices<T>& slices) {
    for_each_tile(problem, rows, tile, [&](CostTile<T>& current) {
      for (auto& slice : slices) slice->add_tile(current);
    });
    for (size_t i = 0; i < chunk.size(); ++i) costs[chunk[i]] = rows.factor * slices[i]->total();
  });
  return costs;
}

template <class T>
void slice_costs_backward(const SlicedProblem<T>& problem, const CostRows& rows,
                          const std::vector<double>& d_costs, const SlicedGradients<T>& gradients) {
  std::vector<int64_t> wanted;
  for (int64_t slice = 0; slice < problem.slices; ++slice) {
    if (d_costs[slice] != 0) wanted.push_back(slice);
  }
  CostTile<T> tile;
  Scratch<T> scratch;
  const auto d_cost = [&](int64_t slice) { return static_cast<T>(rows.factor * d_costs[slice]); };
  for_each_chunk(problem, wanted, [&](const std::vector<int64_t>& chunk, Slices<T>& slices) {
    for (auto& slice : slices) slice->prepare_backward();
    for_each_tile(problem, rows, tile, [&](CostTile<T>& current) {
      current.d_distance.assign(current.distance.size(), T(0));
      for (size_t i = 0; i < chunk.size(); ++i) slices[i]->add_tile_backward(current, d_cost(chunk[i]));
      pull_tokens(problem, current, scratch, gradients);
    });
    for (size_t i = 0; i < chunk.size(); ++i) {
      slices[i]->add_gradient(d_cost(chunk[i]), gradients.x_slices + chunk[i], gradients.y_slices + chunk[i],
                              problem.slices);
    }
  });
}

template std::vector<double> slice_costs<float>(const SlicedProblem<float>&, const CostRows&);
template std::vector<double> slice_costs<double>(const SlicedProblem<double>&, const CostRows&);
template void slice_costs_backward<float>(const SlicedProblem<float>&, const CostRows&,
                                          const std::vector<double>&, const SlicedGradients<float>&);
template void slice_costs_backward<double>(const SlicedProblem<double>&, const CostRows&,
                                           const std::vector<double>&, const SlicedGradients<double>&);

}  // namespace lotformer::ops
