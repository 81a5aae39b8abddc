// SPDX-License-Identifier: MIT
#define LOT_CORE avx2_core
#define LOT_CORE_NAME "avx2"
#define LOT_VECTOR_BYTES 32
#include "core.inl"
