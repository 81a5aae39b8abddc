// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(32, 8, 16)
