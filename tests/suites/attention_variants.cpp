// SPDX-License-Identifier: MIT
#include "suites/attention_variants.h"

#include <torch/csrc/autograd/autograd.h>

#include "lotformer/attention/controls.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/autocast.h"
#include "lotformer/ops/lengths.h"

namespace lotformer::test {
namespace {

/// Sets the option `key`; fails where there is none.
class SetOption final : public FieldVisitor {
 public:
  explicit SetOption(const std::string& assignment)
      : key_(assignment.substr(0, assignment.find('='))),
        text_(assignment.substr(assignment.find('=') + 1)) {}
  void field(const FieldInfo& info, bool& value) override { set(info, value, text_ == "true"); }
  void field(const FieldInfo& info, int64_t& value) override {
    if (info.key == key_) set(info, value, int64_t{std::stoll(text_)});
  }
  void field(const FieldInfo& info, double& value) override {
    if (info.key == key_) set(info, value, std::stod(text_));
  }
  void field(const FieldInfo& info, std::string& value) override { set(info, value, text_); }
  bool found = false;

 private:
  template <class T>
  void set(const FieldInfo& info, T& value, const T& wanted) {
    if (info.key != key_) return;
    value = wanted;
    found = true;
  }
  std::string key_, text_;
};

/// Averages of V with weights 1 / (1 + distance in the sequence).
class DistanceAttentionImpl final : public AttentionImpl {
 public:
  DistanceAttentionImpl(const ControlOptions& /*options*/, const AttentionShape& /*shape*/)
      : AttentionImpl("distance") {}

 private:
  at::Tensor attend(const at::Tensor& /*q*/, const at::Tensor& /*k*/, const at::Tensor& v,
                    const at::Tensor& lengths) override {
    const at::Tensor mask = ops::length_mask(lengths, v.size(2)), seen = ops::fill_empty_sequences(mask);
    const at::Tensor places = at::arange(v.size(2), v.options().requires_grad(false));
    at::Tensor weights = 1 / (1 + (places.unsqueeze(0) - places.unsqueeze(1)).abs());  // [N, N]
    if (seen.defined()) weights = weights * seen.unsqueeze(1).unsqueeze(1);            // [B, 1, N, N]
    const at::Tensor sums = at::matmul(weights, ops::select_real_tokens(v, mask).contiguous());
    return ops::select_real_tokens(sums / weights.sum(-1, /*keepdim=*/true), mask);
  }
};

const AttentionSpec& spec_of(const Variant& variant) {
  static const AttentionSpec kDistance = attention_spec<ControlOptions, DistanceAttentionImpl>(
      "distance", {.row_stochastic = true, .permutation_equivariant = false});
  return variant.kind == kDistance.kind ? kDistance : find_attention(variant.kind);
}

}  // namespace

AttentionTraits traits_of(const Variant& variant) {
  AttentionTraits traits = spec_of(variant).traits;
  if (!variant.options.empty()) traits.row_stochastic = traits.doubly_stochastic = false;
  return traits;
}

std::string Variant::name() const {
  return kind + (options.empty() ? "" : ", ") + join(options, ", ");
}

const std::vector<Variant>& attention_variants() {
  static const std::vector<Variant> kVariants = [] {
    std::vector<Variant> variants;
    for (const AttentionSpec& spec : attention_specs()) variants.push_back({spec.kind});
    // Not here: performer's mode favor, the published arithmetic, whose stabiliser is one number for the
    // whole batch (golden cases hold it).
    for (const Variant& variant : std::vector<Variant>{
             {.kind = "performer", .options = {"kernel=relu"}, .smooth = false},
             {.kind = "sinkformer", .options = {"half_iterations=1"}},
             {"sinkformer", {"mode=exact", "gradient=unrolled"}},
             {.kind = "sinkformer", .options = {"mode=exact", "gradient=implicit"}, .fd_tolerance = 1e-3},
             {"espformer", {"inverse_temperature=0", "tau=0.05"}},
             {.kind = "espformer", .options = {"hard=true"}, .smooth = false},
             {"espformer", {"slices=learned", "slice_count=5", "tau=0.2"}},
             {.kind = "espformer", .options = {"weights=sampled", "weight_samples=8"}, .random = true},
             {"lotformer", {"mode=truncated", "half_iterations=7"}},
             {"lotformer", {"masses=learned", "epsilon=0.5"}},
             {"lotformer", {"core=aten"}},
             {"lotformer", {"token_masses=learned", "epsilon=0.5"}},
             {"lotformer", {"token_masses=uniform/learned", "epsilon=0.5", "core=aten"}},
             {"lotformer", {"mode=truncated", "half_iterations=7", "core=cpu"}},
             {.kind = "distance"},
         }) {
      variants.push_back(variant);
    }
    return variants;
  }();
  return kVariants;
}

std::shared_ptr<AttentionImpl> make_module(const Variant& variant, int64_t heads, int64_t head_dim,
                                           at::ScalarType type) {
  const AttentionSpec& spec = spec_of(variant);
  const auto options = spec.options();
  for (const std::string& assignment : variant.options) {
    SetOption set(assignment);
    options->visit(set);
    if (!set.found) throw Error(ErrorKind::internal, concat(variant.name(), ": no option ", assignment));
  }
  at::manual_seed(31);  // of what a module draws for itself: random features
  auto module = spec.build(*options, {.heads = heads, .head_dim = head_dim});
  at::Generator generator = at::detail::createCPUGenerator(23);
  for (at::Tensor& parameter : module->parameters()) {
    parameter.set_data(at::randn(parameter.sizes(), generator, at::kDouble) * 0.3);
  }
  module->to(type);
  module->eval();
  return module;
}

Gradients run_module(AttentionImpl& module, const AttentionInputs& x, const at::Tensor& lengths,
                     const at::Tensor& upstream, std::optional<at::ScalarType> autocast) {
  const at::Tensor q = x.q.detach().clone().requires_grad_(), k = x.k.detach().clone().requires_grad_(),
                   v = x.v.detach().clone().requires_grad_();
  module.zero_grad();
  at::manual_seed(37);
  Gradients result;
  {
    std::optional<ops::AutocastScope> scope;
    if (autocast) scope.emplace(c10::DeviceType::CPU, autocast);
    result.out = module.forward(q, k, v, lengths);
  }
  if (result.out.requires_grad()) result.out.backward(upstream);
  result.out = result.out.detach();
  const auto gradient = [](const at::Tensor& leaf) {
    return leaf.grad().defined() ? leaf.grad().clone() : at::zeros_like(leaf.detach());
  };
  result.q = gradient(q);
  result.k = gradient(k);
  result.v = gradient(v);
  for (const at::Tensor& parameter : module.parameters()) result.parameters.push_back(gradient(parameter));
  return result;
}

bool identical(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type() || !a.eq(b).all().item<bool>())
    return false;
  const auto bits = [](const at::Tensor& t) {
    return t.contiguous().view(t.element_size() == 8   ? at::kLong
                               : t.element_size() == 4 ? at::kInt
                                                       : at::kShort);
  };
  return bits(a.detach()).equal(bits(b.detach()));
}

}  // namespace lotformer::test
