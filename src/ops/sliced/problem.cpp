// SPDX-License-Identifier: MIT
// The value path: two Gauss transforms a slice forward, seven backward.
#include "problem.h"

#include <algorithm>
#include <numeric>

namespace lotformer::ops {
namespace {

template <class T>
Scratch<int64_t> ascending(const T* values, int64_t tokens, int64_t stride) {
  Scratch<int64_t> order(tokens);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [=](int64_t a, int64_t b) { return values[a * stride] < values[b * stride]; });
  return order;
}

template <class T>
std::vector<double> sorted_values(const T* values, int64_t stride, const Scratch<int64_t>& order) {
  std::vector<double> sorted;
  sorted.reserve(order.size());
  for (const int64_t token : order) sorted.push_back(values[token * stride]);
  return sorted;
}

/// Scratch of one problem, [n, width] each, in the order of ranks.
template <class T>
struct Rows {
  int64_t width;
  Scratch<T> data;
  Rows(int64_t tokens, int64_t width_) : width(width_), data(tokens * width_) {}
  T* row(int64_t i) { return data.data() + i * width; }
  T* all() { return data.data(); }

  void gather(const T* source, const Scratch<int64_t>& order) {
    for (size_t i = 0; i < order.size(); ++i) std::copy_n(source + order[i] * width, width, row(i));
  }
  void scale(const Scratch<T>& factor) {
    for (size_t i = 0; i < factor.size(); ++i) {
      for (int64_t c = 0; c < width; ++c) row(i)[c] *= factor[i];
    }
  }
  void scatter(double weight, const Scratch<int64_t>& order, T* target) {
    const T factor = static_cast<T>(weight);
    for (size_t i = 0; i < order.size(); ++i) {
      T* to = target + order[i] * width;
      for (int64_t c = 0; c < width; ++c) to[c] += factor * row(i)[c];
    }
  }
};

template <class T>
T inner(const T* a, const T* b, int64_t count) {
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

/// One side of the backward pass. `own` is what enters at tokens (dO or v), `mean` its U- or V-weighted
/// means, `other` the means of the opposite side.
template <class T>
struct SideBackward {
  SortedSide<T> side;
  Rows<T> own, mean, slope, pulled;

  SideBackward(const T* values, const T* tokens, const SlicedProblem<T>& p, int64_t slice)
      : side(values + slice, p.tokens, p.slices, p.tau),
        own(p.tokens, p.width),
        mean(p.tokens, p.width),
        slope(p.tokens, p.width),
        pulled(p.tokens, p.width) {
    own.gather(tokens, side.order);
    side.kernel.load(own.all(), p.width);
    side.kernel.transform(GaussForm::value, mean.all());
    side.kernel.transform(GaussForm::derivative, slope.all());
    mean.scale(side.inverse_mass);
  }

  /// Loads other / Z, whose derivative transform is what a token feels as a source.
  void pull(Rows<T> other) {
    other.scale(side.inverse_mass);
    side.kernel.load(other.all(), other.width);
    side.kernel.transform(GaussForm::derivative, pulled.all());
  }

  /// Adds the gradient of the slice values: as sources (first line) and as sorted targets (second line).
  void add_value_gradient(Rows<T>& other, const Scratch<T>& agreement, double weight, T* gradient,
                          int64_t stride) {
    const int64_t tokens = side.kernel.points();
    Scratch<T> scalars(2 * tokens), moved(2 * tokens);  // s / Z and 1
    for (int64_t i = 0; i < tokens; ++i) {
      scalars[2 * i] = agreement[i] * side.inverse_mass[i];
      scalars[2 * i + 1] = 1;
    }
    side.kernel.apply(GaussForm::derivative, scalars.data(), 2, moved.data());
    for (int64_t i = 0; i < tokens; ++i) {
      const T source = inner(own.row(i), pulled.row(i), own.width) - moved[2 * i];
      const T target = inner(other.row(i), slope.row(i), own.width) - agreement[i] * moved[2 * i + 1];
      gradient[side.order[i] * stride] += static_cast<T>(weight) * (source + target * side.inverse_mass[i]);
    }
  }
};

}  // namespace

template <class T>
SortedSide<T>::SortedSide(const T* values, int64_t tokens, int64_t stride, double tau)
    : order(ascending(values, tokens, stride)),
      kernel(sorted_values(values, stride, order), tau),
      inverse_mass(tokens) {
  const Scratch<T> ones(tokens, T(1));
  kernel.apply(GaussForm::value, ones.data(), 1, inverse_mass.data());
  for (T& mass : inverse_mass) mass = 1 / mass;
}

template <class T>
void add_slices(const SlicedProblem<T>& p, const std::vector<double>& weights, T* out) {
  Rows<T> values(p.tokens, p.width), moved(p.tokens, p.width);
  for (int64_t slice = 0; slice < p.slices; ++slice) {
    if (weights[slice] == 0) continue;
    SortedSide<T> x(p.x_slices + slice, p.tokens, p.slices, p.tau);
    SortedSide<T> y(p.y_slices + slice, p.tokens, p.slices, p.tau);
    values.gather(p.v, y.order);
    y.kernel.apply(GaussForm::value, values.all(), p.width, moved.all());
    moved.scale(y.inverse_mass);
    moved.scale(x.inverse_mass);
    x.kernel.apply(GaussForm::value, moved.all(), p.width, values.all());
    values.scatter(weights[slice], x.order, out);
  }
}

template <class T>
std::vector<double> add_slices_backward(const SlicedProblem<T>& p, const std::vector<double>& weights,
                                        const T* d_out, const SlicedGradients<T>& gradients) {
  std::vector<double> d_weights(p.slices, 0.0);
  for (int64_t slice = 0; slice < p.slices; ++slice) {
    const double weight = weights[slice];
    if (weight == 0) continue;
    SideBackward<T> x(p.x_slices, d_out, p, slice);  // mean: U dO
    SideBackward<T> y(p.y_slices, p.v, p, slice);    // mean: V v
    Scratch<T> agreement(p.tokens);                  // s_i = (U dO)_i . (V v)_i
    for (int64_t i = 0; i < p.tokens; ++i) {
      agreement[i] = inner(x.mean.row(i), y.mean.row(i), p.width);
      d_weights[slice] += agreement[i];
    }
    x.pull(y.mean);
    x.add_value_gradient(y.mean, agreement, weight, gradients.x_slices + slice, p.slices);
    y.pull(x.mean);
    Rows<T> d_v(p.tokens, p.width);
    y.side.kernel.transform(GaussForm::value, d_v.all());
    d_v.scatter(weight, y.side.order, gradients.v);
    y.add_value_gradient(x.mean, agreement, weight, gradients.y_slices + slice, p.slices);
  }
  return d_weights;
}

template struct SortedSide<float>;
template struct SortedSide<double>;
template void add_slices<float>(const SlicedProblem<float>&, const std::vector<double>&, float*);
template void add_slices<double>(const SlicedProblem<double>&, const std::vector<double>&, double*);
template std::vector<double> add_slices_backward<float>(const SlicedProblem<float>&,
                                                        const std::vector<double>&, const float*,
                                                        const SlicedGradients<float>&);
template std::vector<double> add_slices_backward<double>(const SlicedProblem<double>&,
                                                         const std::vector<double>&, const double*,
                                                         const SlicedGradients<double>&);

}  // namespace lotformer::ops
