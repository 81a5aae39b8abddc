// SPDX-License-Identifier: MIT
// Golden cases of the whole encoder with its optimiser: logits, loss and gradients of the first batch, then
// five training steps. The published state dict is mapped onto views of our parameters (ours packs W_q, W_k,
// W_v into one matrix).
#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <array>

#include "lotformer/attention/lotformer.h"
#include "lotformer/attention/performer.h"
#include "lotformer/attention/softmax.h"
#include "lotformer/core/text.h"
#include "lotformer/model/classifier.h"
#include "suites/golden.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/session.h"

namespace lotformer::test {
namespace {

using Named = std::map<std::string, at::Tensor>;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// Our name of a published parameter; W_q, W_k, W_v become qkv.
std::string our_name(std::string name) {
  const std::array<std::pair<const char*, const char*>, 14> table = {
      {{"model.embeddings.word_embeddings", "encoder.token"},
       {"model.embeddings.position_embeddings", "encoder.position"},
       {"model.transformer_", "encoder.layer"},
       {"model.norm", "encoder.norm"},
       {"mha.attn.core.ref", "attention.pivots"},
       {"mha.attn.attn_fn.projection_matrix", "attention.projection"},
       {"mha.W_q", "qkv"},
       {"mha.W_k", "qkv"},
       {"mha.W_v", "qkv"},
       {"mha.ff", "out"},
       {"seq_classifer.mlpblock.0", "head1"},
       {"seq_classifer.mlpblock.2", "head2"},
       {"mlpblock.0", "ff1"},
       {"mlpblock.3", "ff2"}}};
  for (const auto& [from, to] : table) name = replaced(name, from, to);
  return name;
}

/// The part of our tensors that holds the published parameter `name`: a view.
at::Tensor part(const Named& tensors, const std::string& name) {
  const at::Tensor& whole = tensors.at(our_name(name));
  constexpr std::array<const char*, 3> kPacked = {"mha.W_q", "mha.W_k", "mha.W_v"};
  for (int64_t i = 0; i < 3; ++i) {
    if (name.find(kPacked[static_cast<size_t>(i)]) == std::string::npos) continue;
    const int64_t rows = whole.size(0) / 3;
    return whole.narrow(0, i * rows, rows);
  }
  return whole;
}

std::vector<std::string> names_after(const GoldenCase& golden, const std::string& prefix) {
  std::vector<std::string> names;
  for (const std::string& tensor : golden.tensor_names()) {
    if (tensor.rfind(prefix, 0) == 0) names.push_back(tensor.substr(prefix.size()));
  }
  return names;
}

/// Of the published state dict, the first name that ends in `suffix`.
std::string first_name(const GoldenCase& golden, const std::string& suffix) {
  for (const std::string& name : names_after(golden, "param.")) {
    if (name.size() >= suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0)
      return name;
  }
  throw Error(ErrorKind::data, concat(golden.name, ": no parameter ends in ", suffix));
}

struct Model {
  std::shared_ptr<ClassifierImpl> module;
  Named parameters;
  Named state;  // and buffers
  TrainConfig config;
};

std::unique_ptr<Options> attention_options(const GoldenCase& golden, const std::string& kind) {
  if (kind == "softmax") {
    auto options = std::make_unique<SoftmaxOptions>();
    options->mode = "reference";
    return options;
  }
  if (kind == "performer") {
    auto options = std::make_unique<PerformerOptions>();
    options->mode = "reference";
    options->features = golden.tensor("param." + first_name(golden, "projection_matrix")).size(0);
    return options;
  }
  if (kind != "lotformer")
    throw Error(ErrorKind::data, concat(golden.name, ": no options for attention ", quoted(kind)));
  auto options = std::make_unique<LotformerOptions>();
  options->mode = "reference";
  options->pivots = golden.parameter<int64_t>("rank");
  options->epsilon = golden.parameter<double>("eps");
  options->half_iterations = golden.parameter<int64_t>("half_iterations");
  return options;
}

TrainConfig train_config(const Json& optimizer, const Json& schedule, double clip, const std::string& where) {
  const auto number = [&](const Json& object, const char* key) {
    return json_get<double>(object, key, where, ErrorKind::data);
  };
  TrainConfig c;
  const auto betas = json_get<std::vector<double>>(optimizer, "betas", where, ErrorKind::data);
  c.beta1 = betas.at(0);
  c.beta2 = betas.at(1);
  c.adam_epsilon = number(optimizer, "eps");
  c.weight_decay = number(optimizer, "weight_decay");
  c.lr = number(optimizer, "base_lr");
  c.clip = clip;
  c.warmup_steps = json_get<int64_t>(schedule, "warmup", where, ErrorKind::data);
  c.steps = json_get<int64_t>(schedule, "total", where, ErrorKind::data);
  c.lr_floor = number(schedule, "min_lr_ratio");
  c.warmup_start = number(schedule, "start_factor");
  return c;
}

Model build(const GoldenCase& golden, const std::string& kind, at::ScalarType dtype) {
  const auto size = [&](const char* key) { return golden.parameter<int64_t>(key); };
  ClassifierOptions options;
  options.encoder = {size("vocab"), size("max_len"),  size("layers"), size("dim"),
                     size("heads"), size("head_dim"), size("hidden"), 0.0};
  options.classes = size("classes");
  options.sequences = golden.parameter<bool>("dual") ? 2 : 1;
  options.pooling = PoolingKind::padded_mean;
  const auto attention = attention_options(golden, kind);
  const AttentionSpec& spec = find_attention(kind);
  Model m;
  m.module = std::make_shared<ClassifierImpl>(
      options, [&](const AttentionShape& shape) { return spec.build(*attention, shape); });
  m.module->to(dtype);
  for (const auto& [name, tensor] : named_parameters(*m.module)) m.parameters[name] = tensor;
  for (const auto& [name, tensor] : named_state(*m.module)) m.state[name] = tensor;
  const at::NoGradGuard no_grad;
  for (const std::string& name : names_after(golden, "param.")) {
    if (m.state.count(our_name(name)) == 0)
      throw Error(ErrorKind::data, golden.name + ": no parameter of ours for " + name);
    part(m.state, name).copy_(golden.tensor("param." + name));
  }
  m.config = train_config(golden.parameter<Json>("optimizer"), golden.parameter<Json>("schedule"),
                          golden.parameter<double>("clip_norm"), golden.name);
  return m;
}

/// Real tokens to the front; positions tell where they were.
Batch batch_of_step(const GoldenCase& golden, int64_t step, int64_t sequences) {
  std::vector<at::Tensor> ids, lengths, positions;
  for (int64_t s = 0; s < sequences; ++s) {
    const at::Tensor mask = golden.tensor(concat("mask_", s)).select(0, step);
    const at::Tensor order = at::argsort(mask, /*stable=*/true, /*dim=*/1, /*descending=*/true);
    ids.push_back(golden.tensor(concat("input_ids_", s)).select(0, step).gather(1, order));
    lengths.push_back(mask.sum(1).to(at::kLong));
    positions.push_back(order);
  }
  Batch batch{at::stack(ids), at::stack(lengths), golden.tensor("label").select(0, step),
              at::stack(positions)};
  // Without holes the order is the identity: then the path without positions is the one to be tested.
  if (batch.positions.equal(at::arange(batch.positions.size(2)).expand_as(batch.positions)))
    batch.positions = at::Tensor();
  return batch;
}

void check_first_batch(const GoldenCase& golden, Model& m, bool f64, Report& report) {
  const std::string p = f64 ? "f64_" : "f32_";
  const auto tolerance = [&](const std::string& group) {
    return json_get<double>(golden.tolerance, p + group, golden.name, ErrorKind::data);
  };
  const Batch batch = batch_of_step(golden, 0, golden.parameter<bool>("dual") ? 2 : 1);
  const at::Tensor logits = m.module->forward(batch);
  const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::None);
  report.compare(golden, p + "logits", logits.detach(), golden.tensor("logits"), tolerance("logits"));
  report.compare(golden, p + "loss", loss.detach(), golden.tensor("loss"), tolerance("logits"));
  loss.mean().backward();
  Named gradients;
  for (auto& [name, tensor] : m.parameters) gradients[name] = tensor.grad();
  for (const std::string& name : names_after(golden, "grad.")) {
    report.compare(golden, p + "grad." + name, part(gradients, name), golden.tensor("grad." + name),
                   tolerance("grad"));
  }
}

/// float32 parameters: where the true gradient is far above rounding noise they follow the reference,
/// elsewhere AdamW may turn noise into whole steps of the learning rate (golden README).
void check_float32_parameter(const GoldenCase& golden, const std::string& what, const at::Tensor& actual,
                             const at::Tensor& expected, const at::Tensor& gradient, double tolerance,
                             double rate_sum, Report& report) {
  const at::Tensor strong = gradient.abs() > 0.01 * json_get<double>(golden.tolerance, "largest_gradient",
                                                                     golden.name, ErrorKind::data);
  const at::Tensor wide = actual.to(at::kDouble);
  if (strong.any().item<bool>()) {
    report.compare(golden, what + " (strong gradients)", wide.masked_select(strong),
                   expected.masked_select(strong), tolerance);
  }
  report.compare(golden, what, wide, expected, 2 * rate_sum + tolerance);
}

void check_training(const GoldenCase& golden, Model& m, bool f64, Report& report) {
  constexpr double kFloat32Margin =
      10;  // as the float32 tolerances of the attention cases: ten times what was observed
  const int64_t steps = golden.parameter<int64_t>("steps"),
                sequences = golden.parameter<bool>("dual") ? 2 : 1;
  std::vector<std::pair<std::string, at::Tensor>> list(m.parameters.begin(), m.parameters.end());
  AdamW optimizer(list, m.config);
  std::vector<double> losses, norms, rates;
  double rate_sum = 0;
  for (int64_t step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    const Batch batch = batch_of_step(golden, step, sequences);
    const at::Tensor loss = at::cross_entropy_loss(m.module->forward(batch), batch.labels);
    loss.backward();
    const at::Tensor norm = optimizer.grad_norm({});
    rates.push_back(m.config.lr * lr_multiplier(m.config, step));
    rate_sum += rates.back();
    optimizer.set_lr(rates.back());
    optimizer.step(norm, {}, at::zeros({}, at::kFloat));
    losses.push_back(loss.item<double>());
    norms.push_back(norm.item<double>());
    const std::string after = concat("after", step + 1, ".");
    for (const std::string& name : names_after(golden, after)) {
      const at::Tensor actual = part(m.parameters, name).detach(), expected = golden.tensor(after + name);
      if (f64) {
        report.compare(golden, after + name, actual, expected,
                       json_get<double>(golden.tolerance, "f64_params", golden.name, ErrorKind::data));
      } else {
        const Json observed =
            json_get<Json>(golden.tolerance, "f32_observed_params_after", golden.name, ErrorKind::data);
        check_float32_parameter(golden, "f32." + after + name, actual, expected,
                                golden.tensor("grad." + name),
                                kFloat32Margin * json_get<double>(observed, std::to_string(step + 1),
                                                                  golden.name, ErrorKind::data),
                                rate_sum, report);
      }
    }
  }
  if (!f64) return;
  const double tolerance = json_get<double>(golden.tolerance, "f64_params", golden.name, ErrorKind::data);
  report.compare(golden, "mean_loss_per_step", at::tensor(losses), golden.tensor("mean_loss_per_step"),
                 tolerance);
  report.compare(golden, "grad_norm_per_step", at::tensor(norms), golden.tensor("grad_norm_per_step"),
                 tolerance);
  report.compare(golden, "lr_per_step", at::tensor(rates), golden.tensor("lr_per_step"), 1e-15);
}

}  // namespace

void run_model_case(const GoldenCase& golden, Report& report) {
  const auto text = golden.parameter<std::string>("attention");
  const std::string kind = text.substr(0, text.find(' '));
  if (!is_attention(kind))
    throw Error(ErrorKind::data, concat(golden.name, ": attention ", quoted(kind), " is not known"));
  for (const bool f64 : {true, false}) {
    Model first = build(golden, kind, f64 ? at::kDouble : at::kFloat);
    check_first_batch(golden, first, f64, report);
    Model second = build(golden, kind, f64 ? at::kDouble : at::kFloat);
    check_training(golden, second, f64, report);
  }
}

void run_schedule_case(const GoldenCase& golden, Report& report) {
  TrainConfig c;
  c.warmup_steps = golden.parameter<int64_t>("warmup");
  c.steps = golden.parameter<int64_t>("total");
  c.lr = golden.parameter<double>("base_lr");
  c.lr_floor = golden.parameter<double>("min_lr_ratio");
  c.warmup_start = golden.parameter<double>("start_factor");
  const at::Tensor steps = golden.tensor("step");
  std::vector<double> multipliers, rates;
  for (int64_t i = 0; i < steps.numel(); ++i) {
    multipliers.push_back(lr_multiplier(c, steps[i].item<int64_t>()));
    rates.push_back(c.lr * multipliers.back());
  }
  const double tolerance = json_get<double>(golden.tolerance, "f64", golden.name, ErrorKind::data);
  report.compare(golden, "multiplier", at::tensor(multipliers), golden.tensor("multiplier"), tolerance);
  report.compare(golden, "lr", at::tensor(rates), golden.tensor("lr"), tolerance);
}

}  // namespace lotformer::test
