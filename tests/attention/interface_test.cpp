// SPDX-License-Identifier: MIT
// What AttentionImpl::forward does for every module, and which modules can do more than attend.
#include <ATen/ATen.h>

#include "lotformer/attention/attention.h"
#include "lotformer/attention/capabilities/adaptive_rank.h"
#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/ops/autocast.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;

/// Notes what attend() is handed, and in which type it multiplies matrices.
class RecordingImpl final : public AttentionImpl {
 public:
  explicit RecordingImpl(bool native)
      : AttentionImpl("recording", native ? Compute::native : Compute::float32) {}
  int64_t calls = 0;
  at::ScalarType q_type{}, k_type{}, v_type{}, product_type{};

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& /*lengths*/) override {
    ++calls;
    q_type = q.scalar_type();
    k_type = k.scalar_type();
    v_type = v.scalar_type();
    product_type = at::matmul(q, k.transpose(2, 3)).scalar_type();
    return v.to(at::kDouble);
  }
};

/// Names of what the module can do, in one line.
std::string capabilities(AttentionImpl& module) {
  std::string names;
  if (dynamic_cast<HasPlans*>(&module) != nullptr) names += "plans ";
  if (dynamic_cast<HasSolver*>(&module) != nullptr) names += "solver ";
  if (dynamic_cast<AdaptiveRank*>(&module) != nullptr) names += "rank ";
  return names;
}

TEST_CASE("attention: forward hands over the module's own type without autocast and gives back that of q") {
  for (const bool native : {false, true}) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO((native ? "native, " : "float32, ") << c10::toString(type));
      const at::ScalarType expected = native || type == at::kDouble ? type : at::kFloat;
      RecordingImpl module(native);
      const AttentionInputs x = attention_inputs({1, 2, 5, 4}, type);
      const ops::AutocastScope autocast(c10::DeviceType::CPU, at::kBFloat16);
      const at::Tensor out = module.forward(x.q, x.k, x.v, {});
      CHECK(out.scalar_type() == type);
      CHECK(test::same_bits(out, x.v));
      CHECK(module.q_type == expected);
      CHECK(module.k_type == expected);
      CHECK(module.v_type == expected);
      CHECK(module.product_type == expected);
    }
  }
}

TEST_CASE("attention: forward checks its inputs in the name of the module before it attends") {
  RecordingImpl module(true);
  const AttentionInputs x = attention_inputs({2, 2, 5, 4}, at::kFloat);
  CHECK_THROWS_WITH(module.forward(x.q, x.k.narrow(2, 0, 4), x.v, {}),
                    test::contains_text("recording: k has shape [2, 2, 4, 4], q has [2, 2, 5, 4]"));
  CHECK(module.calls == 0);
  for (const AttentionSpec& spec : attention_specs()) {
    const auto of_table = spec.build(*spec.options(), {.heads = 2, .head_dim = 4});
    CHECK_THROWS_WITH(of_table->forward(x.q, x.k.narrow(2, 0, 4), x.v, {}),
                      test::contains_text(spec.kind + ": k has shape"));
  }
}

TEST_CASE("attention: a module has the capabilities that it asks for and no others") {
  RecordingImpl plain(false);
  CHECK(capabilities(plain).empty());
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto module = spec.build(*spec.options(), {.heads = 2, .head_dim = 4});
    CHECK(capabilities(*module) == (spec.kind == "lotformer"    ? "plans solver rank "
                                    : spec.kind == "sinkformer" ? "solver "
                                                                : ""));
  }
}

}  // namespace
}  // namespace lotformer
