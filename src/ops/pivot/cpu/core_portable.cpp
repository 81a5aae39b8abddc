// SPDX-License-Identifier: MIT
#define PIVOT_CORE portable_core
#define PIVOT_CORE_NAME "portable"
#define PIVOT_VECTOR_BYTES 16
#include "core.inl"
