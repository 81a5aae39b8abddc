// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(8, 4, 4)
