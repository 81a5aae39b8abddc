// SPDX-License-Identifier: MIT
// Sweeps over the tokens of one problem in a fixed partition: up to 16 segments, whose sums are added in
// order. One thread works through them one after the other, or several take them side by side: the numbers
// are the same. Only for core.inl.
#pragma once

#include <cstddef>

#include "core.h"
#include "ops/tensor_tools/flush_denormals.h"
#include "tile.h"

namespace lotformer::ops::pivot::cpu {
namespace {

constexpr int64_t kSegmentTiles = 8;  // at least
constexpr int64_t kMostSegments = 16;

/// Memory handed out in order and given back as a whole.
class Arena {
 public:
  Arena(const Executor& executor, std::size_t bytes)
      : executor_(executor), begin_(static_cast<char*>(executor.allocate(bytes))), next_(begin_) {}
  ~Arena() { executor_.release(begin_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <class U>
  U* take(int64_t count) {
    U* here = reinterpret_cast<U*>(next_);
    next_ += bytes<U>(count);
    return here;
  }
  template <class U>
  static std::size_t bytes(int64_t count) {
    return (static_cast<std::size_t>(count) * sizeof(U) + 63) / 64 * 64;
  }

 private:
  const Executor& executor_;
  char *begin_, *next_;
};

/// What one worker needs for a segment, and the segment's sums.
template <class T>
struct Buffers {
  T *p, *w, *scores;            // tiles [r][kTile]
  T* by_token;                  // [kTile][r_padded]
  T *rows_a, *rows_b, *rows_c;  // [kTile][d_padded]
  T* packed;                    // [d][kTile]
  T* dots;                      // [kTile]
  T* lanes;                     // [r][lanes], before they are flushed
  double* pivots;               // [r], flushed
  T* gram;
  T* rows;  // [r][d_padded]
  double normaliser;

  static std::size_t bytes(const Shape<T>& s) {
    using A = Arena;
    return A::bytes<T>(s.r_padded * kTile) + 2 * A::bytes<T>(s.r * kTile) + A::bytes<T>(kTile * s.r_padded) +
           3 * A::bytes<T>(kTile * s.d_padded) + A::bytes<T>(s.d * kTile) + A::bytes<T>(kTile) +
           A::bytes<T>(s.r * kLanes<T>) + A::bytes<double>(s.r) + A::bytes<T>(gram_size(s) + 3 * s.r) +
           A::bytes<T>(s.r * s.d_padded);
  }
  void take(const Shape<T>& s, Arena& arena) {
    p = arena.take<T>(s.r_padded * kTile);
    std::memset(p + s.r * kTile, 0, sizeof(T) * (s.r_padded - s.r) * kTile);  // read by whole vectors of rows
    w = arena.take<T>(s.r * kTile);
    scores = arena.take<T>(s.r * kTile);
    by_token = arena.take<T>(kTile * s.r_padded);
    for (T** tile : {&rows_a, &rows_b, &rows_c}) *tile = arena.take<T>(kTile * s.d_padded);
    packed = arena.take<T>(s.d * kTile);
    dots = arena.take<T>(kTile);
    lanes = arena.take<T>(s.r * kLanes<T>);
    pivots = arena.take<double>(s.r);
    gram = arena.take<T>(gram_size(s) + 3 * s.r);
    rows = arena.take<T>(s.r * s.d_padded);
  }
  void flush(int64_t r) {
    for (int64_t j = 0; j < r; ++j) pivots[j] += sum_of_lanes(lanes + j * kLanes<T>);
    std::memset(lanes, 0, sizeof(T) * r * kLanes<T>);
  }
  void clear_pivots(int64_t r) {
    std::memset(lanes, 0, sizeof(T) * r * kLanes<T>);
    for (int64_t j = 0; j < r; ++j) pivots[j] = 0;
  }
  void clear_rows(const Shape<T>& s) { std::memset(rows, 0, sizeof(T) * s.r * s.d_padded); }
  void clear_gram(const Shape<T>& s) { std::memset(gram, 0, sizeof(T) * gram_size(s)); }
};

/// One worker, or one for every segment.
template <class T>
struct Workers {
  const Executor* executor = nullptr;  // null: one
  Buffers<T> buffers[kMostSegments];

  static std::size_t bytes(const Shape<T>& shape, bool side_by_side) {
    return Buffers<T>::bytes(shape) * (side_by_side ? kMostSegments : 1);
  }
  Workers(const Shape<T>& shape, const Executor* parallel, Arena& arena) : executor(parallel) {
    for (int64_t i = 0; i < (parallel ? kMostSegments : 1); ++i) buffers[i].take(shape, arena);
  }
};

/// work(buffers, first tile, last tile) for every segment, then, in order, add(buffers).
template <class T, class Work, class Add>
inline void sweep(Workers<T>& workers, int64_t tokens, const Work& work, const Add& add) {
  const int64_t tiles = tiles_of(tokens);
  int64_t segments = (tiles + kSegmentTiles - 1) / kSegmentTiles;
  if (segments > kMostSegments) segments = kMostSegments;
  if (segments == 0) return;
  const auto begin = [=](int64_t segment) { return tiles * segment / segments; };
  if (!workers.executor || segments == 1) {
    for (int64_t i = 0; i < segments; ++i) {
      work(workers.buffers[0], begin(i), begin(i + 1));
      add(workers.buffers[0]);
    }
    return;
  }
  const auto task = [&](int64_t i) {
    const FlushDenormals flush;  // as the calling thread does, or a bit would depend on who took the segment
    work(workers.buffers[i], begin(i), begin(i + 1));
  };
  using Task = decltype(task);
  const FlushDenormals off(false);
  workers.executor->run(
      segments, [](void* context, int64_t i) { (*static_cast<Task*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(&task)));
  const FlushDenormals on;
  for (int64_t i = 0; i < segments; ++i) add(workers.buffers[i]);
}

/// The tokens of one side of one problem.
template <class T>
struct Side {
  const T* packed;  // [tiles][d][kTile]
  int64_t tokens;
  const T* z;                 // [r][d], times log2(e) / (sqrt(D) epsilon)
  T bound;                    // of the scores, in the same unit; 0: none
  const T* masses = nullptr;  // a [tiles][kTile]; null: 1 / tokens each
  /// What sums over the tokens have to be multiplied by.
  double share() const { return masses ? 1 : 1 / static_cast<double>(tokens); }
};

/// Sums of one pass.
struct PassSums {
  double* marginal;   // c [r]
  double* gram;       // G [r][r]
  double normaliser;  // sum_i a_i logsumexp_j(A_ij + h_j), base 2
};

template <class T>
inline void add_segment_gram(const Buffers<T>& b, const Shape<T>& shape, double* gram) {
  const int64_t r = shape.r;
  const T* pair = b.gram;
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t l = j; l < r; ++l, pair += kLanes<T>) {
      const double sum =
          r <= kFewPivots ? sum_of_lanes(pair) : static_cast<double>(b.gram[j * shape.r_padded + l]);
      gram[j * r + l] += sum;
    }
  }
}

/// Multiplies by the share of a token and fills the lower half.
inline void finish_gram(double* gram, int64_t r, double share) {
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t l = j; l < r; ++l) gram[l * r + j] = gram[j * r + l] *= share;
  }
}

/// One pass at potentials `bias` (base 2); G only where asked for.
template <class T>
inline void pass(const Side<T>& side, const Shape<T>& shape, const T* bias, bool with_gram,
                 Workers<T>& workers, PassSums& sums) {
  const int64_t r = shape.r;
  for (int64_t j = 0; j < r; ++j) sums.marginal[j] = 0;
  sums.normaliser = 0;
  if (with_gram) std::memset(sums.gram, 0, sizeof(double) * r * r);
  sweep(
      workers, side.tokens,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        NormaliserSum<T> normaliser;
        WeightedNormaliserSum<T> by_mass;
        normaliser.clear();
        by_mass.clear();
        b.clear_pivots(r);
        if (with_gram) b.clear_gram(shape);
        for (int64_t tile = first; tile < last; ++tile) {
          pivot_scores(side.z, shape.d, side.packed + tile * shape.d * kTile, shape, bias, side.bound, b.p);
          const int64_t count = tile_tokens(side.tokens, tile);
          if (side.masses)
            softmax_tile(b.p, r, count, WeightedSums<T>{side.masses + tile * kTile, b.w, b.lanes, &by_mass});
          else
            softmax_tile(b.p, r, count, PlainSums<T>{b.lanes, &normaliser});
          if (with_gram) add_gram(b.p, side.masses ? b.w : b.p, shape, b.by_token, b.gram);
          if ((tile - first) % kFlushTiles == kFlushTiles - 1) b.flush(r);
        }
        b.flush(r);
        b.normaliser = side.masses ? by_mass.total() : normaliser.total();
      },
      [&](const Buffers<T>& b) {
        for (int64_t j = 0; j < r; ++j) sums.marginal[j] += b.pivots[j];
        sums.normaliser += b.normaliser;
        if (with_gram) add_segment_gram(b, shape, sums.gram);
      });
  const double share = side.share();
  for (int64_t j = 0; j < r; ++j) sums.marginal[j] *= share;
  sums.normaliser *= share;
  if (with_gram) finish_gram(sums.gram, r, share);
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
