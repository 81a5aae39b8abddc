// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(8, 4, 4)
