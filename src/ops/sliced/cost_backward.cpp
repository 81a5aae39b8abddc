// SPDX-License-Identifier: MIT
// The gradient of one slice's cost, from the same node form.
#include <algorithm>

#include "cost.h"
#include "kernels.h"

namespace lotformer::ops {

/// map := B_x R B_y with R = S_x^T diag(q) S_y, so that U^T V = S_x map S_y^T. `derivative` is with respect
/// to the token that looks at the map, hence the other sign for B_y, whose targets are ranks here.
template <class T>
void SliceCost<T>::make_map(GaussForm x_form, GaussForm y_form, Band& map) {
  Band right = inner_;
  right.data.assign(inner_.data.size(), T(0));
  Scratch<T> weighted;
  T block[kStride<T> * kStride<T>];
  for (const Run& run : runs_) {
    const GaussBox &x_box = x_.kernel.boxes()[run.x_box], &y_box = y_.kernel.boxes()[run.y_box];
    weighted.resize(run.count * kStride<T>);
    for (int64_t i = 0; i < run.count; ++i) {
      const T factor = y_form == GaussForm::derivative ? -q_[run.first + i] : q_[run.first + i];
      for (int64_t k = 0; k < kStride<T>; ++k) {
        weighted[i * kStride<T> + k] = factor * x_.kernel.interpolation()[(run.first + i) * kStride<T> + k];
      }
    }
    std::fill(std::begin(block), std::end(block), T(0));
    accumulate<T>({.rows = x_box.nodes,
                   .columns = y_box.nodes,
                   .inner = run.count,
                   .a = weighted.data(),
                   .a_row = 1,
                   .a_inner = kStride<T>,
                   .b = y_.kernel.interpolation() + run.first * kStride<T>,
                   .b_row = kStride<T>,
                   .c = block,
                   .c_row = kStride<T>});
    accumulate<T>({.rows = x_box.nodes,
                   .columns = y_box.near_nodes,
                   .inner = y_box.nodes,
                   .a = block,
                   .a_row = kStride<T>,
                   .a_inner = 1,
                   .b = y_.kernel.matrix(y_box, y_form),
                   .b_row = y_box.near_nodes,
                   .c = right.at(run.x_box, y_box.near_node),
                   .c_row = right.intervals[run.x_box].width});
  }
  map.intervals = moments_.intervals;
  map.data.assign(moments_.data.size(), T(0));
  const std::vector<GaussBox>& boxes = x_.kernel.boxes();
  for (int64_t a = 0; a < static_cast<int64_t>(boxes.size()); ++a) {
    const GaussBox& box = boxes[a];
    for (int64_t other = box.near_begin; other < box.near_end; ++other) {
      const auto& interval = right.intervals[other];
      accumulate<T>({.rows = box.nodes,
                     .columns = interval.width,
                     .inner = boxes[other].nodes,
                     .a = x_.kernel.matrix(box, x_form) + boxes[other].node - box.near_node,
                     .a_row = box.near_nodes,
                     .a_inner = 1,
                     .b = right.rows(other),
                     .b_row = interval.width,
                     .c = map.at(a, interval.begin),
                     .c_row = map.intervals[a].width});
    }
  }
}

template <class T>
void SliceCost<T>::prepare_backward() {
  make_map(GaussForm::value, GaussForm::value, map_);
  make_map(GaussForm::derivative, GaussForm::value, map_x_);
  make_map(GaussForm::value, GaussForm::derivative, map_y_);
  source_x_.assign(tokens_, T(0));
  source_y_.assign(tokens_, T(0));
}

/// tile.map_rows := S_x map, in the order of x.
template <class T>
void SliceCost<T>::expand(CostTile<T>& tile, Band& map) {
  const int64_t nodes = y_.kernel.nodes();
  tile.map_rows.assign(tile.tokens.size() * nodes, T(0));
  for (const auto& [first, end] : tile_runs(tile)) {
    const int64_t a = x_.kernel.box_of()[x_rank_[tile.tokens[tile.place[first]]]];
    const auto& interval = map.intervals[a];
    accumulate<T>({.rows = end - first,
                   .columns = interval.width,
                   .inner = x_.kernel.boxes()[a].nodes,
                   .a = tile.weights.data() + first * kStride<T>,
                   .a_row = kStride<T>,
                   .a_inner = 1,
                   .b = map.rows(a),
                   .b_row = interval.width,
                   .c = tile.map_rows.data() + first * nodes + interval.begin,
                   .c_row = nodes});
  }
}

/// tile.map_columns := factor * tile.map_rows^T, [nodes, tile]; lanes without a token stay 0.
template <class T>
void transpose_map(CostTile<T>& tile, int64_t nodes, T factor) {
  tile.map_columns.assign(nodes * kTileTokens, T(0));
  for (size_t i = 0; i < tile.place.size(); ++i) {
    for (int64_t node = 0; node < nodes; ++node) {
      tile.map_columns[node * kTileTokens + tile.place[i]] = factor * tile.map_rows[i * nodes + node];
    }
  }
}

template <class T>
void SliceCost<T>::add_tile_backward(CostTile<T>& tile, T d_cost) {
  project(tile);
  collect(tile);
  pull_sources(tile, d_cost);
}

template <class T>
void SliceCost<T>::pull_sources(CostTile<T>& tile, T d_cost) {
  const int64_t nodes = y_.kernel.nodes();
  expand(tile, map_x_);
  for (size_t i = 0; i < tile.place.size(); ++i) {
    source_x_[tile.tokens[tile.place[i]]] +=
        dot(tile.map_rows.data() + i * nodes, tile.rows.data() + i * nodes, nodes);
  }
  const auto spread = [&](const GaussBox& box, int64_t first, int64_t count, T* out, const int64_t* index) {
    accumulate<T>({.rows = count,
                   .columns = kTileTokens,
                   .inner = box.nodes,
                   .a = y_.kernel.interpolation() + first * kStride<T>,
                   .a_row = kStride<T>,
                   .a_inner = 1,
                   .b = tile.map_columns.data() + box.node * kTileTokens,
                   .b_row = kTileTokens,
                   .c = out,
                   .c_row = kTileTokens,
                   .c_index = index});
  };
  expand(tile, map_);
  transpose_map(tile, nodes, d_cost);
  for (const GaussBox& box : y_.kernel.boxes()) {
    spread(box, box.first, box.count, tile.d_distance.data(), y_.order.data() + box.first);
  }
  expand(tile, map_y_);
  transpose_map(tile, nodes, T(1));
  T slope[kSumLength * kTileTokens], sums[kSumLength];
  for (const GaussBox& box : y_.kernel.boxes()) {
    const int64_t end = box.first + box.count;
    for (int64_t first = box.first; first < end; first += kSumLength) {
      const int64_t count = std::min(kSumLength, end - first);
      std::fill_n(slope, count * kTileTokens, T(0));
      spread(box, first, count, slope, nullptr);
      const int64_t* order = y_.order.data() + first;
      tile_dots<T>(count, slope, tile.distance.data(), order, sums);
      for (int64_t i = 0; i < count; ++i) source_y_[order[i]] += sums[i];
    }
  }
}

/// With s_r the cost of rank r: source - E (s / Z), and as a target: value - s (E 1) / Z.
template <class T>
void SliceCost<T>::finish_side(SortedSide<T>& side, const Scratch<T>& cost, const Scratch<T>& target,
                               const Scratch<T>& source, T d_cost, T* gradient, int64_t stride) {
  Scratch<T> scalars(2 * tokens_), moved(2 * tokens_);
  for (int64_t i = 0; i < tokens_; ++i) {
    scalars[2 * i] = cost[i] * side.inverse_mass[i];
    scalars[2 * i + 1] = 1;
  }
  side.kernel.apply(GaussForm::derivative, scalars.data(), 2, moved.data());
  for (int64_t i = 0; i < tokens_; ++i) {
    const int64_t token = side.order[i];
    gradient[token * stride] += d_cost * (source[token] - moved[2 * i] + target[i] -
                                          cost[i] * side.inverse_mass[i] * moved[2 * i + 1]);
  }
}

template <class T>
void SliceCost<T>::add_gradient(T d_cost, T* d_x, T* d_y, int64_t stride) {
  Band left = left_product(GaussForm::value);
  const Scratch<T> cost = rank_values(left, GaussForm::value);
  const Scratch<T> target_y = rank_values(left, GaussForm::derivative);
  left = left_product(GaussForm::derivative);
  const Scratch<T> target_x = rank_values(left, GaussForm::value);
  finish_side(x_, cost, target_x, source_x_, d_cost, d_x, stride);
  finish_side(y_, cost, target_y, source_y_, d_cost, d_y, stride);
}

// The members of this file.
template class SliceCost<float>;
template class SliceCost<double>;

}  // namespace lotformer::ops
