// SPDX-License-Identifier: MIT
// From files and --set to a Config. All errors are collected, sorted by place and thrown as one Error(usage),
// a line each:
//   configs/lra/listops.yaml:14:12: model.attention.epsilon: must be > 0, got -0.1
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lotformer/config/config.h"
#include "lotformer/core/json.h"

namespace lotformer {

struct ConfigRequest {
  /// --config: as given, then in the config folder, then in $LOTFORMER_CONFIG_DIR.
  std::string file;
  /// --set a.b=value, in order; the last one wins.
  std::vector<std::string> assignments;
};

/// Loads, validates and resolves (protocol bundle, head_dim). Layers, weakest first: defaults, protocol, base
/// files, file, --set.
Config load_config(const ConfigRequest& request, const Kinds& kinds);

/// `task`, `protocol` and `data.*` alone, as load_config resolves them, for programs that read data and know
/// no attention module: every other section of a file is passed over.
Config load_data_config(const ConfigRequest& request, const TaskKinds& tasks);

/// Resolved YAML; with `origins`, each line ends in a comment that says where its value came from (default,
/// protocol, file:line, --set). Needs the provenance of load_config, so it takes the request.
std::string print_config(const ConfigRequest& request, const Kinds& kinds);

/// Resolved configuration as JSON (sections as objects, every key present); to_json and from_json are
/// inverse. from_json validates like a file would; errors name `where` (a checkpoint's state.json).
Json config_to_json(const Config& config);
Config config_from_json(const Json& json, const Kinds& kinds, const std::string& where);
/// from_json with --set assignments on top (lotformer-eval --set data.root=DIR).
Config config_from_json(const Json& json, const std::vector<std::string>& assignments, const Kinds& kinds,
                        const std::string& where);

/// config_to_json without the bookkeeping (FieldInfo::bookkeeping): the one definition of "the same
/// experiment". config_hash, the names of run folders, resumes and the documentation all follow it.
Json experiment_to_json(const Config& config);
/// What makes `config` another experiment than the one whose config_to_json is `recorded`: a phrase a key,
/// "train.lr was 0.001, is 0.002". A key that one side does not have is "absent".
std::vector<std::string> experiment_differences(const Json& recorded, const Config& config);

/// XXH3-128 of experiment_to_json: equal experiments have equal hashes wherever their values came from.
std::string config_hash(const Config& config);

/// Text of --help-config, and the Markdown page docs/config.md.
std::string help_config(const Kinds& kinds);
std::string config_markdown(const Kinds& kinds);
/// What --set may be given, for completion at a command line: "train.lr=", and for keys with few values each
/// of them ("task=listops"). Sorted.
std::vector<std::string> assignment_words(const Kinds& kinds);

}  // namespace lotformer
