// SPDX-License-Identifier: MIT
// protocol: lotformer. What the published LOTFormer code does differently from us, key by key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lotformer::config {

/// The value that the published code has for a key ("data.pad_to") with this task and attention kind, or nullopt when the key keeps
/// its own default.
std::optional<std::string_view> published_value(const std::string& task, const std::string& kind,
                                                const std::string& path);

}  // namespace lotformer::config
