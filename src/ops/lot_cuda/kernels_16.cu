// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(16, 8, 8)
