// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(128, 8, 8)
