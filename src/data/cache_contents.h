// SPDX-License-Identifier: MIT
// What a cache may say about its rows. Its digests guard against accidents only: whoever writes a cache can
// compute them. So every number that a program uses as an index or a size is compared with what the task
// allows.
#pragma once

#include <string>

#include "data/cache.h"

namespace lotformer::data {

/// "" or what is wrong with the numbers in `cache`. `largest_byte` is the largest byte of its documents, or 0
/// where limited_bytes() says that every byte is an id.
std::string contents_problem(const Cache& cache, uint8_t largest_byte, const CacheLimits& limits);

/// Whether some bytes are no ids.
bool limited_bytes(const CacheFooter& footer, const CacheLimits& limits);

}  // namespace lotformer::data
