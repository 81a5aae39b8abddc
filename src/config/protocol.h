// SPDX-License-Identifier: MIT
// protocol: lotformer. What the published LOTFormer code does differently from us, key by key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lotformer::config {

/// The value that the published code has for a key ("data.pad_to"), or nullopt when it does not differ in
/// kind.
std::optional<std::string_view> published_value(const std::string& task, const std::string& path);

}  // namespace lotformer::config
