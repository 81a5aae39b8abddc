// SPDX-License-Identifier: MIT
#include "instantiate.h"

LOT_KERNEL_SET(64, 8, 16)
