// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(64, 8, 16)
