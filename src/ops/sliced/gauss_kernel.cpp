// SPDX-License-Identifier: MIT
#include "gauss_kernel.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels.h"

namespace lotformer::ops {

template <class T>
GaussKernel<T>::GaussKernel(std::vector<double> sorted, double tau) {
  const double h = std::sqrt(tau), width = GaussAccuracy<T>::kBoxWidth * h;
  make_boxes(sorted, width);
  link_boxes(sorted, GaussAccuracy<T>::kReach * h);
  make_nodes(sorted, width);
  make_matrices(sorted, tau);
}

/// A box starts at the first point that the one before does not cover, so crowded stretches and gaps cost the
/// same.
template <class T>
void GaussKernel<T>::make_boxes(const std::vector<double>& sorted, double width) {
  box_of_.resize(sorted.size());
  for (int64_t i = 0; i < static_cast<int64_t>(sorted.size()); ++i) {
    if (boxes_.empty() || sorted[i] - sorted[boxes_.back().first] > width) {
      boxes_.emplace_back();
      boxes_.back().first = i;
    }
    ++boxes_.back().count;
    box_of_[i] = static_cast<int32_t>(boxes_.size()) - 1;
  }
  for (GaussBox& box : boxes_) {
    box.node = nodes_;
    box.nodes = std::min(box.count, kStride);
    nodes_ += box.nodes;
  }
}

template <class T>
void GaussKernel<T>::link_boxes(const std::vector<double>& sorted, double reach) {
  const auto first = [&](int64_t b) { return sorted[boxes_[b].first]; };
  const auto last = [&](int64_t b) { return sorted[boxes_[b].first + boxes_[b].count - 1]; };
  const int64_t count = static_cast<int64_t>(boxes_.size());
  int64_t begin = 0, end = 0, offset = 0;
  for (int64_t b = 0; b < count; ++b) {
    while (first(b) - last(begin) > reach) ++begin;
    while (end < count && first(end) - last(b) <= reach) ++end;
    GaussBox& box = boxes_[b];
    box.near_begin = begin;
    box.near_end = end;
    box.near_node = boxes_[begin].node;
    box.near_nodes = boxes_[end - 1].node + boxes_[end - 1].nodes - box.near_node;
    box.matrix = offset;
    offset += box.nodes * box.near_nodes;
  }
  values_.resize(offset);
  derivatives_.resize(offset);
}

/// Chebyshev nodes and barycentric Lagrange weights (Berrut and Trefethen 2004, equation 5.3) for a crowded
/// box; the points themselves otherwise, which is exact.
template <class T>
void GaussKernel<T>::make_nodes(const std::vector<double>& sorted, double width) {
  constexpr int64_t p = kStride;
  double node[p], weight[p], quotient[p];
  for (int64_t k = 0; k < p; ++k) {
    const double angle = (2 * k + 1) * std::numbers::pi / (2 * p);
    node[k] = -std::cos(angle);
    weight[k] = (k % 2 ? -1 : 1) * std::sin(angle);
  }
  offsets_.resize(nodes_);
  interpolation_.assign(sorted.size() * p, T(0));
  for (const GaussBox& box : boxes_) {
    T* row = interpolation_.data() + box.first * p;
    if (box.count <= p) {
      for (int64_t i = 0; i < box.count; ++i) {
        offsets_[box.node + i] = sorted[box.first + i] - sorted[box.first];
        row[i * p + i] = 1;
      }
      continue;
    }
    const double start = sorted[box.first];
    for (int64_t k = 0; k < p; ++k) offsets_[box.node + k] = width * (node[k] + 1) / 2;
    for (int64_t i = 0; i < box.count; ++i, row += p) {
      const double u = 2 * (sorted[box.first + i] - start) / width - 1;
      double sum = 0;
      int64_t hit = -1;
      for (int64_t k = 0; k < p; ++k) {
        if (std::abs(u - node[k]) < 1e-14) hit = k;
        quotient[k] = weight[k] / (u - node[k]);
        sum += quotient[k];
      }
      for (int64_t k = 0; k < p; ++k) row[k] = static_cast<T>(hit < 0 ? quotient[k] / sum : hit == k);
    }
  }
}

/// Distances from differences of box starts plus differences of offsets: exact far from zero as well.
template <class T>
void GaussKernel<T>::make_matrices(const std::vector<double>& sorted, double tau) {
  const T scale = static_cast<T>(-1 / tau);
  for (const GaussBox& box : boxes_) {
    T *value = values_.data() + box.matrix, *derivative = derivatives_.data() + box.matrix;
    for (int64_t k = 0; k < box.nodes; ++k) {
      for (int64_t other = box.near_begin; other < box.near_end; ++other) {
        const GaussBox& source = boxes_[other];
        const double target = sorted[box.first] - sorted[source.first] + offsets_[box.node + k];
        for (int64_t j = 0; j < source.nodes; ++j) {
          const T distance = static_cast<T>(target - offsets_[source.node + j]);
          *value = std::exp(scale * distance * distance);
          *derivative++ = 2 * scale * distance * *value++;
        }
      }
    }
  }
}

template <class T>
void GaussKernel<T>::load(const T* a, int64_t columns) {
  columns_ = columns;
  moments_.assign(nodes_ * columns, T(0));
  for (const GaussBox& box : boxes_) {
    const int64_t end = box.first + box.count;
    for (int64_t first = box.first; first < end; first += kSumLength) {
      accumulate<T>({.rows = box.nodes,
                     .columns = columns,
                     .inner = std::min(kSumLength, end - first),
                     .a = interpolation_.data() + first * kStride,
                     .a_row = 1,
                     .a_inner = kStride,
                     .b = a + first * columns,
                     .b_row = columns,
                     .c = moments_.data() + box.node * columns,
                     .c_row = columns});
    }
  }
}

template <class T>
void GaussKernel<T>::transform(GaussForm form, T* out) {
  const int64_t columns = columns_;
  spread_.assign(nodes_ * columns, T(0));
  std::fill(out, out + points() * columns, T(0));
  for (const GaussBox& box : boxes_) {
    T* spread = spread_.data() + box.node * columns;
    accumulate<T>({.rows = box.nodes,
                   .columns = columns,
                   .inner = box.near_nodes,
                   .a = matrix(box, form),
                   .a_row = box.near_nodes,
                   .a_inner = 1,
                   .b = moments_.data() + box.near_node * columns,
                   .b_row = columns,
                   .c = spread,
                   .c_row = columns});
    accumulate<T>({.rows = box.count,
                   .columns = columns,
                   .inner = box.nodes,
                   .a = interpolation_.data() + box.first * kStride,
                   .a_row = kStride,
                   .a_inner = 1,
                   .b = spread,
                   .b_row = columns,
                   .c = out + box.first * columns,
                   .c_row = columns});
  }
}

template <class T>
void GaussKernel<T>::apply(GaussForm form, const T* a, int64_t columns, T* out) {
  load(a, columns);
  transform(form, out);
}

template class GaussKernel<float>;
template class GaussKernel<double>;

}  // namespace lotformer::ops
