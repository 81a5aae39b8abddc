// SPDX-License-Identifier: MIT
#include "cost.h"

#include <algorithm>
#include <tuple>

#include "kernels.h"

namespace lotformer::ops {
template <class T>
SliceCost<T>::SliceCost(const SlicedProblem<T>& p, int64_t slice)
    : tokens_(p.tokens),
      x_(p.x_slices + slice, p.tokens, p.slices, p.tau),
      y_(p.y_slices + slice, p.tokens, p.slices, p.tau),
      x_rank_(p.tokens),
      q_(p.tokens) {
  for (int64_t rank = 0; rank < tokens_; ++rank) {
    x_rank_[x_.order[rank]] = rank;
    q_[rank] = x_.inverse_mass[rank] * y_.inverse_mass[rank];
    const int64_t a = x_.kernel.box_of()[rank], b = y_.kernel.box_of()[rank];
    if (runs_.empty() || runs_.back().x_box != a || runs_.back().y_box != b) runs_.push_back({a, b, rank, 0});
    ++runs_.back().count;
  }
  make_bands();
  moments_.data.assign(moments_.data.size(), T(0));
}

/// Both sides ascend with the rank, so the y boxes that meet one x box are neighbours, and intervals ascend
/// too.
template <class T>
void SliceCost<T>::make_bands() {
  const std::vector<GaussBox>&x_boxes = x_.kernel.boxes(), &y_boxes = y_.kernel.boxes();
  const auto layout = [](Band& band, auto begin_end) {
    int64_t offset = 0;
    for (int64_t a = 0; a < static_cast<int64_t>(band.intervals.size()); ++a) {
      const auto [begin, end, nodes] = begin_end(a);
      band.intervals[a] = {begin, end - begin, offset};
      offset += (end - begin) * nodes;
    }
    band.data.resize(offset);
  };
  inner_.intervals.resize(x_boxes.size());
  moments_.intervals.resize(x_boxes.size());
  layout(inner_, [&](int64_t a) {
    const GaussBox& box = x_boxes[a];
    const GaussBox& low = y_boxes[y_.kernel.box_of()[box.first]];
    const GaussBox& high = y_boxes[y_.kernel.box_of()[box.first + box.count - 1]];
    return std::tuple(low.near_node, high.near_node + high.near_nodes, box.nodes);
  });
  layout(moments_, [&](int64_t a) {
    const GaussBox& box = x_boxes[a];
    const auto &low = inner_.intervals[box.near_begin], &high = inner_.intervals[box.near_end - 1];
    return std::tuple(low.begin, high.begin + high.width, box.nodes);
  });
}

/// tile.rows := C S_y, one row for each token of the tile in the order of x; tile.weights := their rows of
/// S_x.
template <class T>
void SliceCost<T>::project(CostTile<T>& tile) {
  const int64_t nodes = y_.kernel.nodes(), count = static_cast<int64_t>(tile.tokens.size());
  tile.columns.assign(nodes * kTileTokens, T(0));
  for (const GaussBox& box : y_.kernel.boxes()) {
    const int64_t end = box.first + box.count;
    for (int64_t first = box.first; first < end; first += kSumLength) {
      accumulate<T>({.rows = box.nodes,
                     .columns = kTileTokens,
                     .inner = std::min(kSumLength, end - first),
                     .a = y_.kernel.interpolation() + first * kStride<T>,
                     .a_row = 1,
                     .a_inner = kStride<T>,
                     .b = tile.distance.data(),
                     .b_row = kTileTokens,
                     .c = tile.columns.data() + box.node * kTileTokens,
                     .c_row = kTileTokens,
                     .b_index = y_.order.data() + first});
    }
  }
  tile.place.resize(count);
  for (int64_t i = 0; i < count; ++i) tile.place[i] = i;
  std::sort(tile.place.begin(), tile.place.end(),
            [&](int64_t a, int64_t b) { return x_rank_[tile.tokens[a]] < x_rank_[tile.tokens[b]]; });
  tile.rows.resize(count * nodes);
  tile.weights.resize(count * kStride<T>);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t place = tile.place[i];
    for (int64_t node = 0; node < nodes; ++node) {
      tile.rows[i * nodes + node] = tile.columns[node * kTileTokens + place];
    }
    std::copy_n(x_.kernel.interpolation() + x_rank_[tile.tokens[place]] * kStride<T>, kStride<T>,
                tile.weights.data() + i * kStride<T>);
  }
}

/// Places of the tile [first, end) that lie in one box of x.
template <class T>
std::vector<std::pair<int64_t, int64_t>> SliceCost<T>::tile_runs(const CostTile<T>& tile) const {
  std::vector<std::pair<int64_t, int64_t>> runs;
  const auto box = [&](int64_t i) { return x_.kernel.box_of()[x_rank_[tile.tokens[tile.place[i]]]]; };
  const int64_t count = static_cast<int64_t>(tile.place.size());
  for (int64_t first = 0, end = 0; first < count; first = end) {
    while (end < count && box(end) == box(first)) ++end;
    runs.emplace_back(first, end);
  }
  return runs;
}

/// M += S_x^T (tile.rows).
template <class T>
void SliceCost<T>::collect(CostTile<T>& tile) {
  const int64_t nodes = y_.kernel.nodes();
  for (const auto& [first, end] : tile_runs(tile)) {
    const int64_t a = x_.kernel.box_of()[x_rank_[tile.tokens[tile.place[first]]]];
    const auto& interval = moments_.intervals[a];
    accumulate<T>({.rows = x_.kernel.boxes()[a].nodes,
                   .columns = interval.width,
                   .inner = end - first,
                   .a = tile.weights.data() + first * kStride<T>,
                   .a_row = 1,
                   .a_inner = kStride<T>,
                   .b = tile.rows.data() + first * nodes + interval.begin,
                   .b_row = nodes,
                   .c = moments_.rows(a),
                   .c_row = interval.width});
  }
}

template <class T>
void SliceCost<T>::add_tile(CostTile<T>& tile) {
  project(tile);
  collect(tile);
}

template <class T>
typename SliceCost<T>::Band SliceCost<T>::left_product(GaussForm form) {
  Band left = inner_;
  left.data.assign(inner_.data.size(), T(0));
  const std::vector<GaussBox>& boxes = x_.kernel.boxes();
  for (int64_t a = 0; a < static_cast<int64_t>(boxes.size()); ++a) {
    const GaussBox& box = boxes[a];
    const auto& interval = left.intervals[a];
    for (int64_t other = box.near_begin; other < box.near_end; ++other) {
      accumulate<T>({.rows = box.nodes,
                     .columns = interval.width,
                     .inner = boxes[other].nodes,
                     .a = x_.kernel.matrix(box, form) + boxes[other].node - box.near_node,
                     .a_row = box.near_nodes,
                     .a_inner = 1,
                     .b = moments_.at(other, interval.begin),
                     .b_row = moments_.intervals[other].width,
                     .c = left.rows(a),
                     .c_row = interval.width});
    }
  }
  return left;
}

template <class T>
Scratch<T> SliceCost<T>::rank_values(Band& left, GaussForm y_form) {
  Scratch<T> values(tokens_), transposed;
  T block[kStride<T> * kPadded<T>];
  for (const Run& run : runs_) {
    const GaussBox &x_box = x_.kernel.boxes()[run.x_box], &y_box = y_.kernel.boxes()[run.y_box];
    const T* right = y_.kernel.matrix(y_box, y_form);
    transposed.assign(y_box.near_nodes * kPadded<T>, T(0));
    for (int64_t k = 0; k < y_box.nodes; ++k) {
      for (int64_t j = 0; j < y_box.near_nodes; ++j)
        transposed[j * kPadded<T> + k] = right[k * y_box.near_nodes + j];
    }
    std::fill(std::begin(block), std::end(block), T(0));
    accumulate<T>({.rows = x_box.nodes,
                   .columns = kPadded<T>,
                   .inner = y_box.near_nodes,
                   .a = left.at(run.x_box, y_box.near_node),
                   .a_row = left.intervals[run.x_box].width,
                   .a_inner = 1,
                   .b = transposed.data(),
                   .b_row = kPadded<T>,
                   .c = block,
                   .c_row = kPadded<T>});
    for (int64_t rank = run.first; rank < run.first + run.count; ++rank) {
      const T *s_x = x_.kernel.interpolation() + rank * kStride<T>,
              *s_y = y_.kernel.interpolation() + rank * kStride<T>;
      T sum = 0;
      for (int64_t k = 0; k < x_box.nodes; ++k) sum += s_x[k] * dot(block + k * kPadded<T>, s_y, y_box.nodes);
      values[rank] = q_[rank] * sum;
    }
  }
  return values;
}

template <class T>
double SliceCost<T>::total() {
  Band left = left_product(GaussForm::value);
  double sum = 0;
  for (const T value : rank_values(left, GaussForm::value)) sum += value;
  return sum;
}

// The members of this file.
template class SliceCost<float>;
template class SliceCost<double>;

}  // namespace lotformer::ops
