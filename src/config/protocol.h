// SPDX-License-Identifier: MIT
// protocol: lotformer | lra | skyformer. What a published harness does differently from us, key by key; what
// each contains and cannot say stands in docs/protocols.md.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::config {

/// One key of a protocol. Of several rows that fit, the first counts.
struct Setting {
  /// Empty: all tasks.
  std::string_view task;
  /// Empty: all attention kinds.
  std::string_view kind;
  std::string_view path;
  std::string_view value;
};

struct Protocol {
  std::string_view name;
  std::span<const Setting> settings;
  /// Those it may be used with; empty: all that settings name.
  std::span<const std::string_view> tasks;
};

/// The published LOTFormer code.
const Protocol& lotformer_protocol();
/// The release of the Long Range Arena.
const Protocol& lra_protocol();
/// The two-layer setting of papers on efficient attention, as in Skyformer's code.
const Protocol& skyformer_protocol();

/// The protocol of that name, or nullptr for "default".
const Protocol* find_protocol(std::string_view name);

/// The value that the protocol has for a key ("data.pad_to") with this task and attention kind, or nullopt
/// when the key keeps its own default.
std::optional<std::string_view> published_value(const Protocol& protocol, std::string_view task,
                                                std::string_view kind, std::string_view path);

/// The tasks that the protocol may be used with.
std::vector<std::string> covered_tasks(const Protocol& protocol);
bool covers(const Protocol& protocol, std::string_view task);

}  // namespace lotformer::config
