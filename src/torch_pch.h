// SPDX-License-Identifier: MIT
// Precompiled for attention, model, train and bench. Every header here costs each of their files time, used
// or not (all of torch/torch.h: 6.5 s for an empty file, this: 4.5 s, measured), so only what most of them
// include.
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "ops/ops_pch.h"
