// SPDX-License-Identifier: MIT
// YAML text to a Node tree. The text may come from a stranger: bytes are checked first; size, depth and
// aliases are capped.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "diagnostics.h"
#include "node.h"

namespace lotformer::config {

inline constexpr int64_t kMaxFileBytes = int64_t{256} << 10;
inline constexpr int kMaxAliases = 64;

/// The one document in `text`, which must be a map. Errors (also duplicate keys) go to `diagnostics`; nullopt
/// when the text is no YAML map at all.
std::optional<Node> read_yaml(std::string_view text, int source, Diagnostics& diagnostics);

/// One quoted scalar ('...' or "..."), for --set; nullopt and an error when `text` is anything else.
std::optional<Node> read_quoted_scalar(std::string_view text, int source, Diagnostics& diagnostics);

}  // namespace lotformer::config
