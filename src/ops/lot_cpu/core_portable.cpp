// SPDX-License-Identifier: MIT
#define LOT_CORE portable_core
#define LOT_CORE_NAME "portable"
#define LOT_VECTOR_BYTES 16
#include "core.inl"
