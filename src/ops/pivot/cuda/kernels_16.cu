// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(16, 8, 8)
