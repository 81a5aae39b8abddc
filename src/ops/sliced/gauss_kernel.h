// SPDX-License-Identifier: MIT
// K_ij = exp(-(t_i - t_j)^2 / tau) over sorted points as S B S^T: S [N, nodes] interpolates inside boxes (p
// entries a row), B is the same kernel between the nodes of neighbouring boxes. docs/espformer.md has the
// error bound.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/tensor_tools/scratch.h"

namespace lotformer::ops {

/// Constants of the approximation in units of h = sqrt(tau).
template <class T>
struct GaussAccuracy;
template <>
struct GaussAccuracy<float> {
  /// p, Chebyshev nodes of a box.
  static constexpr int64_t kNodes = 12;
  /// Width of a box.
  static constexpr double kBoxWidth = 1.5;
  /// Boxes further apart do not see each other.
  static constexpr double kReach = 5;
};
template <>
struct GaussAccuracy<double> {
  static constexpr int64_t kNodes = 20;
  static constexpr double kBoxWidth = 1.5;
  static constexpr double kReach = 6.2;
};

/// Long sums go through partial sums of this many terms: one running sum of equal float32 terms drifts by N /
/// 2 rounding errors.
constexpr int64_t kSumLength = 64;

/// Points [first, first + count) of the sorted axis, nodes [node, node + nodes), and the boxes within reach.
struct GaussBox {
  int64_t first, count;
  int64_t node, nodes;
  /// Boxes.
  int64_t near_begin, near_end;
  int64_t near_node, near_nodes;
  /// Offset of B's rows [nodes, near_nodes].
  int64_t matrix;
};

/// Derivative: with respect to the target.
enum class GaussForm { value, derivative };

template <class T>
class GaussKernel {
 public:
  /// Of a row of S; unused entries are 0.
  static constexpr int64_t kStride = GaussAccuracy<T>::kNodes;

  /// `sorted` ascending and finite.
  GaussKernel(std::vector<double> sorted, double tau);

  int64_t points() const { return static_cast<int64_t>(box_of_.size()); }
  int64_t nodes() const { return nodes_; }
  const std::vector<GaussBox>& boxes() const { return boxes_; }
  /// [N].
  const int32_t* box_of() const { return box_of_.data(); }
  /// S [N, kStride].
  const T* interpolation() const { return interpolation_.data(); }
  const T* matrix(const GaussBox& box, GaussForm form) const {
    return (form == GaussForm::value ? values_ : derivatives_).data() + box.matrix;
  }

  /// K a or E a for a [N, columns], in sorted order; `out` is overwritten.
  void apply(GaussForm form, const T* a, int64_t columns, T* out);
  /// Moments S^T a [nodes, columns], kept for transform().
  void load(const T* a, int64_t columns);
  /// S B (moments) of what was loaded.
  void transform(GaussForm form, T* out);

 private:
  void make_boxes(const std::vector<double>& sorted, double width);
  void link_boxes(const std::vector<double>& sorted, double reach);
  void make_nodes(const std::vector<double>& sorted, double width);
  void make_matrices(const std::vector<double>& sorted, double tau);

  std::vector<GaussBox> boxes_;
  Scratch<int32_t> box_of_;
  /// Of the nodes from the first point of their box.
  Scratch<double> offsets_;
  Scratch<T> interpolation_, values_, derivatives_;
  Scratch<T> moments_, spread_;
  int64_t nodes_ = 0, columns_ = 0;
};

}  // namespace lotformer::ops
