// SPDX-License-Identifier: MIT
#include "instantiate.h"

PIVOT_KERNEL_SET(4, 4, 4)
