// SPDX-License-Identifier: MIT
#include "session.h"

#include <torch/utils.h>

#include <algorithm>

#include "lotformer/core/error.h"
#include "lotformer/core/rng.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"

namespace lotformer {

data::DataOptions data_options(const Config& config) {
  return config.data;
}

std::string attention_name(const Config& config) {
  return config.attention ? config.attention->record_name(config.attention_kind) : config.attention_kind;
}

std::vector<std::pair<std::string, at::Tensor>> named_parameters(const ClassifierImpl& model) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (const auto& item : model.named_parameters()) result.emplace_back(item.key(), item.value());
  return result;
}

std::vector<std::pair<std::string, at::Tensor>> named_state(const ClassifierImpl& model) {
  auto result = named_parameters(model);
  for (const auto& item : model.named_buffers()) result.emplace_back(item.key(), item.value());
  return result;
}

int64_t count_parameters(const ClassifierImpl& model) {
  int64_t count = 0;
  for (const auto& item : model.named_parameters()) count += item.value().numel();
  return count;
}

std::string parameter_table(const ClassifierImpl& model) {
  std::string text;
  for (const auto& [name, tensor] : named_parameters(model)) {
    const std::string shape = concat(tensor.sizes());
    text += concat("  ", name, std::string(std::max<int64_t>(1, 36 - static_cast<int64_t>(name.size())), ' '),
                   shape, std::string(std::max<int64_t>(1, 16 - static_cast<int64_t>(shape.size())), ' '),
                   format_count(tensor.numel()), "\n");
  }
  return concat(text, "  total", std::string(47, ' '), format_count(count_parameters(model)));
}

std::string resolve_precision(const std::string& precision, c10::Device device) {
  if (precision != "auto") return precision;
  return device.is_cuda() ? "bf16" : "fp32";
}

std::optional<c10::ScalarType> autocast_type(const std::string& precision) {
  if (precision == "bf16") return c10::kBFloat16;
  if (precision == "fp16") return c10::kHalf;
  return std::nullopt;
}

Session open_session(const Config& config, c10::Device device, int64_t threads) {
  Session s;
  s.config = config;
  s.device = device;
  s.threads = set_threads(threads > 0 ? threads : config.train.threads);
  s.precision = resolve_precision(config.train.precision, device);
  s.task = data::open_task(config.task, data_options(config));
  torch::manual_seed(mix_seeds(static_cast<uint64_t>(config.train.seed), 0));
  s.model = build_classifier(config, s.task->vocab_size(), s.task->max_length(), s.task->num_classes(),
                             s.task->sequences());
  s.model->to(device);
  return s;
}

data::Dataset open_split(const Session& s, data::Split split) {
  const data::Dataset dataset = s.task->open(split);
  if (dataset.size() > 0) return dataset;
  throw DataError::at_file(s.config.data.root,
                           concat("the ", data::to_string(split), " split of ", s.task->name(),
                                  " has no examples: the set is too small to be divided"));
}

}  // namespace lotformer
