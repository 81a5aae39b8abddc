// SPDX-License-Identifier: MIT
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace lotformer::ops {

/// Results and operands below the smallest normal number count as 0 on this thread while alive. Tails of
/// Gauss kernels times small mixture weights fall there, where x86 arithmetic is fifty times slower. With
/// `flush` false: they count again, so that threads made meanwhile do not inherit the mode for good.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  explicit FlushDenormals(bool flush = true) : before_(_mm_getcsr()) {
    _mm_setcsr(flush ? before_ | kFlushAndZero : before_ & ~kFlushAndZero);
  }
  ~FlushDenormals() {
    _mm_setcsr(before_);
  }
#else
  explicit FlushDenormals(bool = true) {}
  ~FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned kFlushAndZero = 0x8040;  // flush to zero, denormals are zero
  unsigned before_;
#endif
};

}  // namespace lotformer::ops
