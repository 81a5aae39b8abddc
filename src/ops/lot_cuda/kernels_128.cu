// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(128, 8, 8)
