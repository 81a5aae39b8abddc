// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(4, 4, 4)
