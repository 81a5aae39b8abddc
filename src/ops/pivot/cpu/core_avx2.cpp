// SPDX-License-Identifier: MIT
#define PIVOT_CORE avx2_core
#define PIVOT_CORE_NAME "avx2"
#define PIVOT_VECTOR_BYTES 32
#include "core.inl"
