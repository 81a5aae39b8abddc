// SPDX-License-Identifier: MIT
// Which of its x86 instruction sets a kernel may use here, and how a function is compiled for one of them.
#pragma once

// Functions of one file compiled for several targets: a feature of g++ on x86. Elsewhere every function is
// compiled for the base.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LOTFORMER_TARGET(features) __attribute__((target(features)))
#else
#define LOTFORMER_TARGET(features)
#endif
// A template that is inlined into functions of different targets must be inlined always.
#define LOTFORMER_INLINE inline __attribute__((always_inline))

namespace lotformer::ops {

enum class InstructionSet {
  base,
  avx2,    // with fma
  avx512,  // f, bw, dq and vl, and what avx2 has
};

/// The best that this machine has; base where it is not x86.
inline InstructionSet instruction_set() {
#if defined(__x86_64__)
  static const InstructionSet kBest = [] {
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? InstructionSet::avx512 : avx2 ? InstructionSet::avx2 : InstructionSet::base;
  }();
  return kBest;
#else
  return InstructionSet::base;
#endif
}

}  // namespace lotformer::ops
