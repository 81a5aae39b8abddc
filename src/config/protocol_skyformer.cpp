// SPDX-License-Identifier: MIT
// The two-layer setting of papers on efficient attention: repository pkuzengqi/Skyformer, commit 1a677cb,
// whose harness is that of mlpen/Nystromformer (LRA/code) with other steps, rates and batches.
#include <array>

#include "protocol.h"

namespace lotformer::config {
namespace {

constexpr std::array<std::string_view, 5> kTasks = {"listops", "text", "retrieval", "image", "pathfinder32"};

constexpr std::array kSkyformerSettings = std::to_array<Setting>({
    // src/config.py; data: src/preprocess/create_listops.py and lra_listops_input_pipeline.py.
    {"listops", "", "data.max_length", "2000"},
    {"listops", "", "data.pad_to", "2048"},
    {"listops", "", "data.tokenizer", "alnum"},  // their tokeniser keeps letters and digits: "]" is lost
    {"listops", "", "data.vocab",
     "default"},  // theirs is set order, equivalent up to a permutation of the embedding
    {"listops", "", "data.append_eos", "false"},
    {"listops", "", "train.batch_size", "32"},
    {"listops", "", "train.lr", "0.0001"},
    {"listops", "", "train.warmup_steps", "1000"},
    {"listops", "", "train.eval_every", "500"},
    {"listops", "", "eval.batch_size", "32"},
    // src/config.py; data: src/preprocess/create_text.py and lra_text_input_pipeline.py. The paper (section
    // 5) says batch 16.
    {"text", "", "data.max_length", "4000"},
    {"text", "", "data.pad_to", "4096"},
    {"text", "", "data.tokenizer", "default"},
    {"text", "", "data.val", "test"},
    {"text", "", "train.batch_size", "32"},
    {"text", "", "train.lr", "0.0001"},
    {"text", "", "train.warmup_steps", "80"},
    {"text", "", "train.eval_every", "500"},
    {"text", "", "eval.batch_size", "32"},
    // src/config.py; data: src/preprocess/create_retrieval.py.
    {"retrieval", "", "data.max_length", "4000"},
    {"retrieval", "", "data.pad_to", "4096"},
    {"retrieval", "", "data.tokenizer", "default"},
    {"retrieval", "", "train.batch_size", "16"},
    {"retrieval", "", "train.lr", "0.0002"},
    {"retrieval", "", "train.warmup_steps", "800"},
    {"retrieval", "", "train.eval_every", "1000"},
    {"retrieval", "", "eval.batch_size", "16"},
    // src/config.py; data: src/preprocess/create_cifar10.py; the mask (id != 0): src/models/dataset_LRA.py.
    {"image", "", "data.grey", "default"},
    {"image", "", "data.split", "tfds"},
    {"image", "", "data.mask_zero_pixels", "true"},
    {"image", "", "data.pad_to", "1024"},  // the divisor of the pooling
    {"image", "", "train.batch_size", "256"},
    {"image", "", "train.lr", "0.0001"},
    {"image", "", "train.warmup_steps", "175"},
    {"image", "", "train.eval_every", "50"},
    {"image", "", "eval.batch_size", "256"},
    // src/config.py; data: src/preprocess/create_pathfinder.py, an unseeded shuffle that nobody can repeat.
    {"pathfinder32", "", "data.mask_zero_pixels", "true"},
    {"pathfinder32", "", "data.pad_to", "1024"},
    {"pathfinder32", "", "train.batch_size", "128"},
    {"pathfinder32", "", "train.lr", "0.0002"},
    {"pathfinder32", "", "train.warmup_steps", "312"},
    {"pathfinder32", "", "train.eval_every", "500"},
    {"pathfinder32", "", "eval.batch_size", "128"},
    // src/config.py, the same for the five tasks. Pooling: src/models/model_LRA.py averages over the padded
    // length what
    // src/models/model_transformer.py has masked.
    {"", "", "model.layers", "2"},
    {"", "", "model.dim", "64"},
    {"", "", "model.heads", "2"},
    {"", "", "model.head_dim", "32"},
    {"", "", "model.ff_dim", "128"},
    {"", "", "model.dropout", "0.1"},
    {"", "", "model.pooling", "padded_mean"},
    {"", "", "model.position_init", "normal"},  // one learned table; places count from the front only
    {"", "", "model.end_positions", "false"},
    {"", "performer", "model.attention.features", "128"},  // rp_dim
    {"", "", "train.steps", "50000"},
    {"", "", "train.weight_decay", "0"},
    // src/main.py: AdamW and OneCycleLR, which begins at 1 / 25 of the peak and ends at 1 / 10000 of that
    // (the defaults of
    // PyTorch). Its decay is linear, ours a cosine. Partial batches are dropped in all three sets.
    {"", "", "train.warmup_start", "0.04"},
    {"", "", "train.lr_floor", "4e-6"},
    {"", "", "train.beta1", "0.9"},
    {"", "", "train.beta2", "0.999"},
    {"", "", "train.adam_epsilon", "1e-6"},
    {"", "", "eval.drop_last", "true"},
});

}  // namespace

const Protocol& skyformer_protocol() {
  static constexpr Protocol kProtocol{"skyformer", kSkyformerSettings, kTasks};
  return kProtocol;
}

}  // namespace lotformer::config
