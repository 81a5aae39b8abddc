// SPDX-License-Identifier: MIT
// Keys, ranges, choices and help lines. Upper limits are far above sensible use: they refuse slips and
// hostile numbers, not experiments.
#include "lotformer/config/config.h"

#include "schema.h"

namespace lotformer {
namespace {

constexpr double kMaxTokens = 16777216;  // 2^24
constexpr double kMaxWidth = 65536;

// Options of single tasks; every other task wants their defaults (the rules come with the tasks, TaskKinds).
void visit_task_options(DataConfig& data, FieldVisitor& visitor) {
  visitor.field(
      {.key = "val",
       .help = "text only: validate on the test files, as the benchmark does and records then say, or on a "
               "holdout of a tenth of the training files",
       .choices = {"test", "holdout"}},
      data.val);
  visitor.field(
      {.key = "split",
       .help =
           "image and pathfinder: how one set is divided; default: tfds for image, torch42 for pathfinder "
           "(tfds of pathfinder is experimental)",
       .choices = {"default", "tfds", "torch42", "sequential"}},
      data.split);
  visitor.field(
      {.key = "grey",
       .help = "image only: conversion from colour; default: that of the benchmark, pil: that of the S4 code",
       .choices = {"default", "pil"}},
      data.grey);
  visitor.field({.key = "difficulty",
                 .help = "pathfinder only: contours of 6, 9 or 14 dashes; the benchmark is hard",
                 .choices = {"easy", "intermediate", "hard"}},
                data.difficulty);
  visitor.field(
      {.key = "strict_counts",
       .help = "image and pathfinder: files without a provenance record must hold the official number of "
               "images",
       .bookkeeping = true},
      data.strict_counts);
  visitor.field({.key = "skip_empty_images",
                 .help = "pathfinder only: leave out images of 0 bytes, with a line in the log for each"},
                data.skip_empty_images);
  visitor.field({.key = "mask_zero_pixels",
                 .help = "image and pathfinder: black pixels are padding, as in the LOTFormer code"},
                data.mask_zero_pixels);
  visitor.field(
      {.key = "input",
       .help = "image and pathfinder: what the model sees of a pixel; ids: a learned vector for each "
               "grey value; real: (grey / 255 - input_mean) / input_std through one linear layer",
       .choices = {"ids", "real"}},
      data.input);
  visitor.field(
      {.key = "input_mean",
       .help =
           "input real: mean of the grey values in [0, 1]; the S4 code has 0.480784 (122.6 / 255) for image",
       .range = {.low = 0, .high = 1}},
      data.input_mean);
  visitor.field(
      {.key = "input_std",
       .help = "input real: their standard deviation; the S4 code has 0.239216 (61 / 255) for image",
       .range = {.low = 0, .high = 1, .low_open = true}},
      data.input_std);
}

// How batches come about; neither key changes a bit of them.
void visit_loading(DataConfig& data, FieldVisitor& visitor) {
  visitor.field(
      {.key = "prefetch",
       .help = "batches that a thread makes ahead while the model works; 0: none, each is made when "
               "it is wanted",
       .range = {.low = 0, .high = 64},
       .bookkeeping = true},
      data.prefetch);
  visitor.field({.key = "on_device",
                 .help = "keep a copy of the split on the device and gather batches there; auto: on a GPU, "
                         "where it takes at most 2 GiB and an eighth of the free memory",
                 .choices = {"auto", "true", "false"},
                 .bookkeeping = true},
                data.on_device);
}

}  // namespace

void DataConfig::visit(FieldVisitor& visitor) {
  visitor.field(
      {.key = "root",
       .help = "folder of the data set or of the task, relative to the working directory; any level of an "
               "unpacked lra_release will do",
       .bookkeeping = true},
      root);
  visitor.field({.key = "generate_missing",
                 .help = "make the files when they are missing (listops only, data seed 0)",
                 .bookkeeping = true},
                generate_missing);
  visitor.field(
      {.key = "follow_links",
       .help =
           "read files that lie elsewhere, behind links in the data folder, as on shared storage. Without "
           "it such a link is an error, because data of strangers could show us any file",
       .bookkeeping = true},
      follow_links);
  visitor.field(
      {.key = "max_length",
       .help = "tokens after which a sequence is cut; 0: the task's own (listops 2000, text and retrieval "
               "4000; custom: the longest row, at most 16384; images are not cut)",
       .range = {.low = 0, .high = kMaxTokens}},
      max_length);
  visitor.field({.key = "pad_to",
                 .help = "tokens every batch is padded to; 0: each batch to its longest sequence",
                 .range = {.low = 0, .high = kMaxTokens}},
                pad_to);
  visitor.field(
      {.key = "tokenizer",
       .help = "default: the benchmark's, of custom bytes; alnum loses the close brackets of listops as the "
               "LOTFormer code does; char: Unicode characters by frequency and an end token, as the S4 code "
               "(text, retrieval); ids: whole numbers from 0 to 255 with blanks between them (custom)",
       .choices = {"default", "alnum", "char", "ids"}},
      tokenizer);
  visitor.field({.key = "vocab",
                 .help = "numbering of the tokens of listops: fixed table, or by frequency as in the S4 code",
                 .choices = {"default", "s4"}},
                vocab);
  visitor.field(
      {.key = "append_eos",
       .help = "append an end token, within max_length (listops; vocab s4 and tokenizer char always do)"},
      append_eos);
  visitor.field({.key = "verify_labels",
                 .help = "evaluate every listops expression and compare it with its label",
                 .bookkeeping = true},
                verify_labels);
  visit_task_options(*this, visitor);
  visitor.field({.key = "bucket",
                 .help = "training batches of similar lengths, so that less is padded; the rows of an "
                         "epoch stay the same"},
                bucket);
  visit_loading(*this, visitor);
}

void ModelConfig::visit(FieldVisitor& visitor) {
  visitor.field({.key = "layers", .help = "encoder layers", .range = {.low = 1, .high = 1000}}, layers);
  visitor.field(
      {.key = "dim", .help = "width of the residual stream", .range = {.low = 1, .high = kMaxWidth}}, dim);
  visitor.field({.key = "heads", .help = "attention heads", .range = {.low = 1, .high = 4096}}, heads);
  visitor.field({.key = "head_dim",
                 .help = "width of one head; 0: dim / heads (heads * head_dim need not equal dim)",
                 .range = {.low = 0, .high = kMaxWidth}},
                head_dim);
  visitor.field({.key = "ff_dim",
                 .help = "hidden width of the feed-forward layers",
                 .range = {.low = 1, .high = 1048576}},
                ff_dim);
  visitor.field({.key = "dropout",
                 .help = "probability of dropping a value",
                 .range = {.low = 0, .high = 1, .high_open = true}},
                dropout);
  visitor.field(
      {.key = "pooling",
       .help =
           "what the head sees: mean over the real tokens; cls: a learned token in front of the sequence, "
           "as the LRA paper's models have; attention: softmax over the tokens by a learned query; "
           "padded_mean: divides by the padded length as the LOTFormer code does",
       .choices = {"mean", "cls", "attention", "padded_mean"}},
      pooling);
  visitor.field(
      {.key = "position_init",
       .help = "start of the learned position table: normal(0, 0.02), or sinusoids of that size, in "
               "which near places are alike",
       .choices = {"normal", "sinusoidal"}},
      position_init);
  visitor.field({.key = "end_positions",
                 .help = "adds a learned vector for the place counted from the last token as well"},
                end_positions);
}

namespace config {

void visit_top(Config& config, const std::vector<std::string>& tasks, FieldVisitor& visitor) {
  visitor.field({.key = "task", .help = "what is learned", .choices = {tasks.begin(), tasks.end()}},
                config.task);
  visitor.field(
      {.key = "protocol",
       .help =
           "keys left unset take the values of published code, quirks included; lotformer: LOTFormer's, "
           "lra: the benchmark's release, skyformer: the two-layer setting of Skyformer (docs/protocols.md)",
       .choices = {"default", "lotformer", "lra", "skyformer"}},
      config.protocol);
}

void visit_kind(std::string& kind, const std::vector<std::string>& names, FieldVisitor& visitor) {
  visitor.field({.key = "kind", .help = "attention module", .choices = {names.begin(), names.end()}}, kind);
}

void visit_config(Config& config, const Kinds& kinds, SectionVisitor& visitor) {
  visit_top(config, kinds.tasks.names, visitor);
  visitor.begin_section("data");
  config.data.visit(visitor);
  visitor.end_section();
  visitor.begin_section("model");
  config.model.visit(visitor);
  visitor.begin_section("attention");
  visit_kind(config.attention_kind, kinds.attention.names, visitor);
  if (config.attention != nullptr) config.attention->visit(visitor);
  visitor.end_section();
  visitor.end_section();
  visitor.begin_section("train");
  config.train.visit(visitor);
  visitor.end_section();
  visitor.begin_section("eval");
  config.eval.visit(visitor);
  visitor.end_section();
}

}  // namespace config
}  // namespace lotformer
