// SPDX-License-Identifier: MIT
#include "kernels.h"

#include <cstring>

#include "ops/tensor_tools/instruction_set.h"

namespace lotformer::ops {
namespace {

#if defined(__clang__)
#define LOTFORMER_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LOTFORMER_INDEPENDENT _Pragma("GCC ivdep")
#endif

/// The type of the arithmetic on values stored as T.
template <class T>
struct Arithmetic {
  using Type = T;
};
template <>
struct Arithmetic<Bfloat16Bits> {
  using Type = float;
};

template <class T>
LOTFORMER_INLINE T load(const T& x) {
  return x;
}
LOTFORMER_INLINE float load(const Bfloat16Bits& x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <class T>
LOTFORMER_INLINE void store(T value, T& out) {
  out = value;
}
LOTFORMER_INLINE void store(float value, Bfloat16Bits& out) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  out.bits = static_cast<uint16_t>(value != value ? 0x7fc0U : rounded);
}

// Loops run in place too; value i depends on value i alone, which is what the pragma promises to the
// vectoriser.

template <bool kResidual, class T>
LOTFORMER_INLINE void drop_values(const DropoutMask& given, uint32_t n, const T* residual, const T* x,
                                  T* out) {
  using A = typename Arithmetic<T>::Type;
  const DropoutMask mask = given;  // a copy that the stores below cannot change
  const A scale = static_cast<A>(mask.scale());
  LOTFORMER_INDEPENDENT
  for (uint32_t i = 0; i < n; ++i) {
    const A scaled = load(x[i]) * scale;
    A value = mask.keeps(i) ? scaled : A(0);
    if constexpr (kResidual) value += load(residual[i]);
    store(value, out[i]);
  }
}

template <class T>
LOTFORMER_INLINE void drop_all(const DropoutMask& mask, uint32_t n, const T* residual, const T* x, T* out) {
  residual ? drop_values<true>(mask, n, residual, x, out) : drop_values<false>(mask, n, residual, x, out);
}

template <class T>
LOTFORMER_INLINE void softmax_backward(const DropoutMask& given, int64_t rows, uint32_t columns,
                                       const T* inner, T* w, T* d) {
  const DropoutMask mask = given;
  const T scale = static_cast<T>(mask.scale());
  for (int64_t row = 0; row < rows; ++row) {
    const T row_inner = inner[row];
    const uint32_t place = static_cast<uint32_t>(row) * columns;
    LOTFORMER_INDEPENDENT
    for (uint32_t i = 0; i < columns; ++i) {
      const T factor = mask.keeps(place + i) ? scale : T(0);
      d[i] = w[i] * (d[i] * factor - row_inner);
      w[i] *= factor;
    }
    w += columns;
    d += columns;
  }
}

// One set of entry points for every instruction set; the templates above are inlined into each.
#define LOTFORMER_KERNELS(NAME, TARGET)                                                                    \
  template <class T>                                                                                       \
  struct NAME {                                                                                            \
    TARGET static void plain(const DropoutMask& m, uint32_t n, const T* residual, const T* x, T* out) {    \
      drop_all(m, n, residual, x, out);                                                                    \
    }                                                                                                      \
    TARGET static void softmax(const DropoutMask& m, int64_t rows, uint32_t columns, const T* inner, T* w, \
                               T* d) {                                                                     \
      softmax_backward(m, rows, columns, inner, w, d);                                                     \
    }                                                                                                      \
  };

LOTFORMER_KERNELS(Base, )
LOTFORMER_KERNELS(Avx2, LOTFORMER_TARGET("avx2"))
LOTFORMER_KERNELS(Avx512, LOTFORMER_TARGET("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))

}  // namespace

template <class T>
void drop(const DropoutMask& mask, int64_t n, const T* residual, const T* x, T* out) {
  const auto count = static_cast<uint32_t>(n);
  switch (instruction_set()) {
    case InstructionSet::avx512:
      return Avx512<T>::plain(mask, count, residual, x, out);
    case InstructionSet::avx2:
      return Avx2<T>::plain(mask, count, residual, x, out);
    case InstructionSet::base:
      return Base<T>::plain(mask, count, residual, x, out);
  }
}

template <class T>
void drop_softmax_backward(const DropoutMask& mask, int64_t rows, int64_t columns, const T* inner, T* w,
                           T* d) {
  const auto count = static_cast<uint32_t>(columns);
  switch (instruction_set()) {
    case InstructionSet::avx512:
      return Avx512<T>::softmax(mask, rows, count, inner, w, d);
    case InstructionSet::avx2:
      return Avx2<T>::softmax(mask, rows, count, inner, w, d);
    case InstructionSet::base:
      return Base<T>::softmax(mask, rows, count, inner, w, d);
  }
}

template void drop<float>(const DropoutMask&, int64_t, const float*, const float*, float*);
template void drop<double>(const DropoutMask&, int64_t, const double*, const double*, double*);
template void drop<Bfloat16Bits>(const DropoutMask&, int64_t, const Bfloat16Bits*, const Bfloat16Bits*,
                                 Bfloat16Bits*);
template void drop_softmax_backward<float>(const DropoutMask&, int64_t, int64_t, const float*, float*,
                                           float*);
template void drop_softmax_backward<double>(const DropoutMask&, int64_t, int64_t, const double*, double*,
                                            double*);

}  // namespace lotformer::ops
