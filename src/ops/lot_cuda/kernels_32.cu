// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(32, 8, 8)
