// SPDX-License-Identifier: MIT
#define LOT_CORE avx512_core
#define LOT_CORE_NAME "avx512"
#define LOT_VECTOR_BYTES 64
#include "core.inl"
