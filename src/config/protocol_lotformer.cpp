// SPDX-License-Identifier: MIT
// The published LOTFormer code.
#include <array>

#include "protocol.h"

namespace lotformer::config {
namespace {

constexpr std::array kLotformerSettings = std::to_array<Setting>({
    {"listops", "", "data.max_length", "2000"},
    {"listops", "", "data.pad_to", "2048"},      // every batch, whatever its longest sequence
    {"listops", "", "data.tokenizer", "alnum"},  // their tokeniser keeps letters and digits: "]" is lost
    {"listops", "", "data.vocab",
     "default"},  // theirs is set order, equivalent up to a permutation of the embedding
    {"listops", "", "data.append_eos", "false"},
    // Of these keys lra/listops.yaml has values of its own; those of the other tasks' files are the published
    // ones.
    {"listops", "", "model.heads", "2"},
    {"listops", "", "model.head_dim", "32"},
    {"listops", "", "train.steps", "50000"},
    {"listops", "", "train.lr", "1e-4"},
    {"listops", "", "train.lr_floor", "0.4"},
    {"listops", "", "train.warmup_steps", "5000"},
    {"text", "", "data.max_length", "4000"},
    {"text", "", "data.pad_to", "4096"},
    {"text", "", "data.tokenizer", "default"},
    {"text", "", "data.val", "test"},
    {"retrieval", "", "data.max_length", "4000"},
    {"retrieval", "", "data.pad_to", "4096"},
    {"retrieval", "", "data.tokenizer", "default"},
    {"image", "", "data.grey", "default"},
    {"image", "", "data.split", "tfds"},
    // Their mask is (id != 0): black pixels count as padding. The whole image is in every batch all the same,
    // since padding takes part in their attention and in the divisor of their pooling. Published for
    // pathfinder32 only; the larger ones follow its rule.
    {"image", "", "data.mask_zero_pixels", "true"},
    {"image", "", "data.pad_to", "1024"},
    {"image", "lotformer", "model.attention.half_iterations", "5"},
    {"pathfinder32", "", "data.mask_zero_pixels", "true"},
    {"pathfinder32", "", "data.pad_to", "1024"},
    {"pathfinder64", "", "data.mask_zero_pixels", "true"},
    {"pathfinder64", "", "data.pad_to", "4096"},
    {"pathfinder128", "", "data.mask_zero_pixels", "true"},
    {"pathfinder128", "", "data.pad_to", "16384"},
    {"pathfinder256", "", "data.mask_zero_pixels", "true"},
    {"pathfinder256", "", "data.pad_to", "65536"},
    {"", "", "model.position_init", "normal"},
    {"", "", "model.end_positions", "false"},
    {"", "", "model.pooling", "padded_mean"},  // sum over real tokens divided by the padded length
    // Their trainer hands the padding mask to every module. What the module's own published code then
    // computes is its mode: LOTFormer ignores the mask (and has the scale r^-2), softmax and Performer have
    // one form, the others a form for text with padding.
    {"", "sinkformer", "model.attention.mode", "reference_nlp"},
    {"", "espformer", "model.attention.mode", "reference_fill"},
    {"", "espformer", "model.attention.inverse_temperature", "10"},  // 0.1 belongs to the form without a mask
    {"", "", "model.attention.mode", "reference"},
    {"", "lotformer", "model.attention.half_iterations", "50"},  // without a test of convergence
    {"", "lotformer", "model.attention.masses", "uniform"},
    {"", "lotformer", "model.attention.token_masses", "uniform"},
    {"", "lotformer", "model.attention.token_mass_spread", "0"},
    {"", "lotformer", "model.attention.pivot_init", "0.02"},
    {"", "", "eval.drop_last", "true"},  // a last partial batch is not scored, in test neither
});

}  // namespace

const Protocol& lotformer_protocol() {
  static constexpr Protocol kProtocol{"lotformer", kLotformerSettings, {}};
  return kProtocol;
}

}  // namespace lotformer::config
