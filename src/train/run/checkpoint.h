// SPDX-License-Identifier: MIT
// A checkpoint is a folder:
//   model.safetensors      parameters and buffers, readable by the Python package safetensors
//   optimizer.safetensors  moments of the optimiser
//   state.json             everything else that a resume needs; "step" is required
//   manifest.json          format version, sizes and XXH3-128 hashes of the other three; written last
// It is made under a temporary name beside its own (.tmp-...), every file and the folder are fsynced, then it
// is renamed and its parent fsynced. So a folder under a checkpoint's name is whole, or it was damaged later;
// the reader believes nothing and checks every byte.
#pragma once

#include <filesystem>
#include <optional>

#include "lotformer/core/json.h"
#include "tensor_file.h"

namespace lotformer {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kManifestFile = "manifest.json";
/// Names that begin so are work in progress of a process, or what a killed one left behind. Never read.
inline constexpr const char* kTemporaryPrefix = ".tmp-";

struct Checkpoint {
  std::filesystem::path path;
  /// state["step"].
  int64_t step = 0;
  Json state;
  /// On the CPU.
  TensorMap model, optimizer;
};

/// Writes `folder` (its parent is created). A checkpoint that already has this name is replaced in one move.
/// After an Error (disk) nothing has changed and nothing is left behind. `state` must have an integer member
/// "step".
void write_checkpoint(const std::filesystem::path& folder, const NamedTensors& model,
                      const NamedTensors& optimizer, const Json& state);

/// Verifies everything, then returns it. Error(checkpoint) names the file and what is wrong with it.
Checkpoint read_checkpoint(const std::filesystem::path& folder);

/// What somebody handed on: model.safetensors and state.json, no manifest. Nothing tells whether these are
/// the bytes that were written, only their form is checked; `optimizer` is empty. Error(checkpoint).
Checkpoint read_weights_alone(const std::filesystem::path& folder);

/// What read_checkpoint would complain about; nothing for a whole checkpoint.
std::optional<std::string> checkpoint_problem(const std::filesystem::path& folder);

/// state["best"]["step"]: the step whose checkpoint had the best validation accuracy so far; nothing before
/// the first evaluation
/// ("best" absent or null). Error(checkpoint) beginning with `where` when it is something else.
std::optional<int64_t> best_step(const Json& state, const std::string& where);

}  // namespace lotformer
