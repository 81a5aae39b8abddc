// SPDX-License-Identifier: MIT
// The generators as the rows of the task table name them.
#pragma once

#include "lotformer/data/generate.h"

namespace lotformer::data {

Generator listops_generator();
Generator text_generator();
Generator retrieval_generator();
Generator image_generator();
/// `size`: pixels of an edge, 32, 64, 128 or 256.
Generator pathfinder_generator(int64_t size);

}  // namespace lotformer::data
