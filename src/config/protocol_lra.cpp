// SPDX-License-Identifier: MIT
// The release of the Long Range Arena: repository google-research/long-range-arena, commit cd31e5c (the last
// one). Where an attention module has a configuration of its own there, transformer_base.py counts, unless a
// row names the module.
#include <array>

#include "protocol.h"

namespace lotformer::config {
namespace {

constexpr std::array kLraSettings = std::to_array<Setting>({
    // lra_benchmarks/listops/configs/base_listops_config.py and input_pipeline.py; dropout:
    // models/transformer/transformer.py.
    // Their rate is 0.05 * min(1, step / warmup) / sqrt(max(step, warmup)) (utils/train_utils.py): its peak
    // is 0.05 / sqrt(1000), its end
    // sqrt(1000 / 5000) of the peak. The way between is a root there and a cosine here.
    {"listops", "", "data.max_length", "2000"},
    {"listops", "", "data.tokenizer", "default"},  // close brackets are renamed, not lost
    {"listops", "", "data.vocab",
     "default"},  // theirs is set order, equivalent up to a permutation of the embedding
    {"listops", "", "data.append_eos", "false"},
    {"listops", "", "model.layers", "4"},
    {"listops", "", "model.dim", "512"},
    {"listops", "", "model.heads", "8"},
    {"listops", "", "model.head_dim", "64"},
    {"listops", "", "model.ff_dim", "1024"},
    {"listops", "", "model.dropout", "0.1"},
    {"listops", "", "model.pooling", "cls"},
    {"listops", "", "train.steps", "5000"},
    {"listops", "", "train.batch_size", "32"},
    {"listops", "", "train.lr", "0.0015811388"},
    {"listops", "", "train.warmup_steps", "1000"},
    {"listops", "", "train.lr_floor", "0.4472136"},
    {"listops", "", "train.weight_decay", "0.1"},
    {"listops", "", "eval.batch_size", "32"},
    {"listops", "", "eval.drop_last", "false"},
    // lra_benchmarks/text_classification/configs/base_tc_config.py and input_pipeline.py, except the length:
    // the file says 1000,
    // section 2.2.2 of the paper 4K. Peak 0.05 / sqrt(8000), end sqrt(8000 / 20000) of it.
    {"text", "", "data.max_length", "4000"},
    {"text", "", "data.tokenizer", "default"},
    {"text", "", "data.val", "test"},
    {"text", "", "model.layers", "4"},
    {"text", "", "model.dim", "256"},
    {"text", "", "model.heads", "4"},
    {"text", "", "model.head_dim", "64"},
    {"text", "", "model.ff_dim", "1024"},
    {"text", "", "model.dropout", "0.1"},
    {"text", "", "model.pooling", "cls"},
    {"text", "", "train.steps", "20000"},
    {"text", "", "train.batch_size", "32"},
    {"text", "", "train.lr", "0.00055901699"},
    {"text", "", "train.warmup_steps", "8000"},
    {"text", "", "train.lr_floor", "0.6324555"},
    {"text", "", "train.weight_decay", "0.1"},
    {"text", "", "eval.batch_size", "32"},
    {"text", "", "eval.drop_last", "false"},
    // lra_benchmarks/matching/configs/base_match_config.py and input_pipeline.py. The run ends within the
    // warm-up: no floor.
    {"retrieval", "", "data.max_length", "4000"},
    {"retrieval", "", "data.tokenizer", "default"},
    {"retrieval", "", "model.layers", "4"},
    {"retrieval", "", "model.dim", "128"},
    {"retrieval", "", "model.heads", "4"},
    {"retrieval", "", "model.head_dim", "32"},
    {"retrieval", "", "model.ff_dim", "512"},
    {"retrieval", "", "model.dropout", "0.1"},
    {"retrieval", "", "model.pooling", "cls"},
    {"retrieval", "", "train.steps", "5000"},
    {"retrieval", "", "train.batch_size", "32"},
    {"retrieval", "", "train.lr", "0.00055901699"},
    {"retrieval", "", "train.warmup_steps", "8000"},
    {"retrieval", "", "train.weight_decay", "0.1"},
    {"retrieval", "", "eval.batch_size", "32"},
    {"retrieval", "", "eval.drop_last", "true"},
    // lra_benchmarks/image/configs/cifar10/base_cifar10_config.py, transformer_base.py,
    // image/input_pipeline.py. 200 epochs of 175 steps;
    // the rate is a cosine to 0, as ours.
    {"image", "", "data.grey", "default"},
    {"image", "", "data.split", "tfds"},
    {"image", "", "data.mask_zero_pixels", "true"},  // inputs > 0 is their mask
    {"image", "", "model.layers", "1"},
    {"image", "", "model.dim", "128"},
    {"image", "", "model.heads", "8"},
    {"image", "", "model.head_dim", "8"},
    {"image", "", "model.ff_dim", "128"},
    {"image", "", "model.dropout", "0.3"},
    {"image", "", "model.pooling", "cls"},
    {"image", "", "train.steps", "35000"},
    {"image", "", "train.batch_size", "256"},
    {"image", "", "train.lr", "0.0005"},
    {"image", "", "train.warmup_steps", "175"},
    {"image", "", "train.lr_floor", "0"},
    {"image", "", "train.weight_decay", "0"},
    {"image", "", "train.clip", "0"},
    {"image", "", "eval.batch_size", "256"},
    {"image", "", "eval.drop_last", "true"},
    // lra_benchmarks/image/configs/pathfinder32/base_pathfinder32_config.py, transformer_base.py and
    // performer_base.py.
    {"pathfinder32", "", "data.split", "tfds"},
    {"pathfinder32", "", "data.mask_zero_pixels", "true"},  // inputs > 0 is their mask
    {"pathfinder32", "performer", "model.heads", "8"},
    {"pathfinder32", "performer", "model.head_dim", "2"},
    {"pathfinder32", "", "model.layers", "4"},
    {"pathfinder32", "", "model.dim", "32"},
    {"pathfinder32", "", "model.heads", "4"},
    {"pathfinder32", "", "model.head_dim", "4"},
    {"pathfinder32", "", "model.ff_dim", "32"},
    {"pathfinder32", "", "model.dropout", "0.2"},
    {"pathfinder32", "", "model.pooling", "mean"},
    {"pathfinder32", "", "train.steps", "62400"},
    {"pathfinder32", "", "train.batch_size", "512"},
    {"pathfinder32", "", "train.lr", "0.001"},
    {"pathfinder32", "", "train.warmup_steps", "312"},
    {"pathfinder32", "", "train.lr_floor", "0"},
    {"pathfinder32", "", "train.weight_decay", "0"},
    {"pathfinder32", "", "train.clip", "0"},
    {"pathfinder32", "", "eval.batch_size", "512"},
    {"pathfinder32", "", "eval.drop_last", "true"},
    // lra_benchmarks/image/configs/pathfinder64/base_pathfinder64_config.py.
    {"pathfinder64", "", "data.split", "tfds"},
    {"pathfinder64", "", "data.mask_zero_pixels", "true"},  // inputs > 0 is their mask
    {"pathfinder64", "", "model.layers", "2"},
    {"pathfinder64", "", "model.dim", "32"},
    {"pathfinder64", "", "model.heads", "4"},
    {"pathfinder64", "", "model.head_dim", "8"},
    {"pathfinder64", "", "model.ff_dim", "32"},
    {"pathfinder64", "", "model.dropout", "0.1"},
    {"pathfinder64", "", "model.pooling", "cls"},
    {"pathfinder64", "", "train.steps", "125000"},
    {"pathfinder64", "", "train.batch_size", "256"},
    {"pathfinder64", "", "train.lr", "0.001"},
    {"pathfinder64", "", "train.warmup_steps", "625"},
    {"pathfinder64", "", "train.lr_floor", "0"},
    {"pathfinder64", "", "train.weight_decay", "0"},
    {"pathfinder64", "", "train.clip", "0"},
    {"pathfinder64", "", "eval.batch_size", "256"},
    {"pathfinder64", "", "eval.drop_last", "true"},
    // lra_benchmarks/image/configs/pathfinder128/base_pathfinder128_config.py: Path-X.
    {"pathfinder128", "", "data.split", "tfds"},
    {"pathfinder128", "", "data.mask_zero_pixels", "true"},  // inputs > 0 is their mask
    {"pathfinder128", "", "model.layers", "1"},
    {"pathfinder128", "", "model.dim", "32"},
    {"pathfinder128", "", "model.heads", "2"},
    {"pathfinder128", "", "model.head_dim", "8"},
    {"pathfinder128", "", "model.ff_dim", "32"},
    {"pathfinder128", "", "model.dropout", "0.1"},
    {"pathfinder128", "", "model.pooling", "mean"},
    {"pathfinder128", "", "train.steps", "500000"},
    {"pathfinder128", "", "train.batch_size", "64"},
    {"pathfinder128", "", "train.lr", "0.001"},
    {"pathfinder128", "", "train.warmup_steps", "2500"},
    {"pathfinder128", "", "train.lr_floor", "0"},
    {"pathfinder128", "", "train.weight_decay", "0"},
    {"pathfinder128", "", "train.clip", "1"},
    {"pathfinder128", "", "eval.batch_size", "64"},
    {"pathfinder128", "", "eval.drop_last", "true"},
    // lra_benchmarks/image/configs/pathfinder256/base_pathfinder256_config.py: 100 epochs.
    {"pathfinder256", "", "data.split", "tfds"},
    {"pathfinder256", "", "data.mask_zero_pixels", "true"},  // inputs > 0 is their mask
    {"pathfinder256", "", "model.layers", "2"},
    {"pathfinder256", "", "model.dim", "32"},
    {"pathfinder256", "", "model.heads", "4"},
    {"pathfinder256", "", "model.head_dim", "8"},
    {"pathfinder256", "", "model.ff_dim", "32"},
    {"pathfinder256", "", "model.dropout", "0.1"},
    {"pathfinder256", "", "model.pooling", "cls"},
    {"pathfinder256", "", "train.steps", "500000"},
    {"pathfinder256", "", "train.batch_size", "32"},
    {"pathfinder256", "", "train.lr", "0.001"},
    {"pathfinder256", "", "train.warmup_steps", "5000"},
    {"pathfinder256", "", "train.lr_floor", "0"},
    {"pathfinder256", "", "train.weight_decay", "0"},
    {"pathfinder256", "", "train.clip", "0"},
    {"pathfinder256", "", "eval.batch_size", "32"},
    {"pathfinder256", "", "eval.drop_last", "true"},
    // create_optimizer of listops/train.py, text_classification/train.py, matching/train.py and
    // image/train.py: Adam with decoupled decay
    // (google/flax, flax/optim/adam.py); the first three do not clip. Arithmetic:
    // models/transformer/transformer.py.
    {"", "", "model.end_positions", "false"},  // places count from the front only
    {"", "", "train.warmup_start", "0"},
    {"", "", "train.beta1", "0.9"},
    {"", "", "train.beta2", "0.98"},
    {"", "", "train.adam_epsilon", "1e-9"},
    {"", "", "train.clip", "0"},
    {"", "", "train.precision", "fp32"},
});

}  // namespace

const Protocol& lra_protocol() {
  static constexpr Protocol kProtocol{"lra", kLraSettings, {}};
  return kProtocol;
}

}  // namespace lotformer::config
