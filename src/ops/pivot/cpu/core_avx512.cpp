// SPDX-License-Identifier: MIT
#define PIVOT_CORE avx512_core
#define PIVOT_CORE_NAME "avx512"
#define PIVOT_VECTOR_BYTES 64
#include "core.inl"
