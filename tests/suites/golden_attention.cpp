// SPDX-License-Identifier: MIT
// Attention cases: the module is built from the hyperparameters of the case and driven through its public
// interface.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "lotformer/attention/lotformer.h"
#include "lotformer/core/text.h"
#include "suites/golden.h"
#include "support/dense_map.h"

namespace lotformer::test {
namespace {

/// Moves the real tokens of each sequence to the front (modules know only lengths), and results back.
class TokenOrder {
 public:
  explicit TokenOrder(const at::Tensor& mask)  // [B, N]
      : order_(at::argsort(mask, /*stable=*/true, 1, /*descending=*/true)),
        lengths_(mask.sum(1).to(at::kLong)),
        full_(mask.eq(1).all().item<bool>()) {}

  at::Tensor lengths() const { return full_ ? at::Tensor() : lengths_; }
  /// x with its tokens along axis `dim`; axis 0 is the batch.
  at::Tensor to_front(const at::Tensor& x, int64_t dim) const {
    return x.gather(dim, index(x, dim)).contiguous();
  }
  at::Tensor back(const at::Tensor& x, int64_t dim) const {
    return at::zeros_like(x).scatter(dim, index(x, dim), x);
  }

 private:
  at::Tensor index(const at::Tensor& x, int64_t dim) const {
    std::vector<int64_t> shape(x.dim(), 1);
    shape[0] = x.size(0);
    shape[dim] = x.size(dim);
    return order_.reshape(shape).expand_as(x);
  }
  at::Tensor order_, lengths_;
  bool full_;
};

std::shared_ptr<AttentionImpl> build(const GoldenModule& row, const GoldenCase& golden, at::ScalarType type) {
  const at::Tensor q = golden.tensor("q");
  const AttentionShape shape{.heads = q.size(1), .head_dim = q.size(3), .dropout = 0};
  const std::shared_ptr<AttentionImpl> module = row.build(golden, shape, type);
  if (!module) {
    throw Error(ErrorKind::data,
                concat(golden.name, ": ", golden.module, " has no family ", quoted(golden.family)));
  }
  return module;
}

/// Compares one run against the stored numbers; `kind` is f64 or f32.
class CaseRun {
 public:
  CaseRun(const GoldenModule& row, const GoldenCase& golden, Report& report, at::ScalarType type)
      : golden_(golden),
        report_(report),
        type_(type),
        kind_(type == at::kDouble ? "f64" : "f32"),
        label_(row.variant.empty() ? kind_ : concat(row.variant, ", ", kind_)),
        tolerances_(json_get<Json>(golden.tolerance, kind_, golden.name + ": tolerance", ErrorKind::data)),
        order_(golden.tensor("mask")),
        module_(build(row, golden, type)) {}

  void run() {
    q_ = input("q");
    k_ = input("k");
    v_ = input("v");
    const at::Tensor out = module_->forward(q_, k_, v_, order_.lengths());
    out.backward(order_.to_front(golden_.tensor("grad_out").to(type_), 2));
    compare("out", order_.back(out, 2));
    for (const std::string& gradient : golden_.gradients) compare(gradient, gradient_of(gradient));
    if (golden_.has("row_sums") || golden_.has("col_sums") || golden_.has("attn")) check_map();
    if (golden_.has("p_qz")) check_plans();
    for (auto it = tolerances_.begin(); it != tolerances_.end(); ++it) {
      if (!compared_.count(it.key()))
        report_.fail(golden_, concat(label_, " ", it.key(), ": has a tolerance and no check"));
    }
  }

 private:
  at::Tensor input(const std::string& name) {
    return order_.to_front(golden_.tensor(name).to(type_), 2).requires_grad_();
  }

  at::Tensor gradient_of(const std::string& gradient) {
    if (gradient == "grad_q") return order_.back(q_.grad(), 2);
    if (gradient == "grad_k") return order_.back(k_.grad(), 2);
    if (gradient == "grad_v") return order_.back(v_.grad(), 2);
    const auto parameters = module_->named_parameters();
    const at::Tensor* parameter = parameters.find(gradient.substr(5));  // after "grad_"
    return parameter ? parameter->grad() : at::Tensor();
  }

  /// The N x N map through identity values; stored sums and map carry no tolerance of their own: that of
  /// `out` per unit of V.
  void check_map() {
    at::NoGradGuard no_grad;
    const at::Tensor map = dense_map(*module_, q_, k_, order_.lengths());  // [B, H, N, N]
    const at::Tensor restored = order_.back(order_.back(map, 2), 3);
    if (golden_.has("attn")) compare("attn", restored);
    if (golden_.has("row_sums")) compare("row_sums", restored.sum(3));
    if (golden_.has("col_sums")) compare("col_sums", restored.sum(2));
  }

  void check_plans() {
    at::NoGradGuard no_grad;
    const auto* lotformer = dynamic_cast<const LotformerAttentionImpl*>(module_.get());
    if (!lotformer) return report_.fail(golden_, "p_qz: only lotformer has transport plans");
    const ops::PivotPlans plans = lotformer->plans(q_, k_, order_.lengths());
    compare("p_qz", order_.back(plans.query.transpose(2, 3), 2));
    compare("p_zk", order_.back(plans.key, 3));
  }

  void compare(const std::string& name, const at::Tensor& actual) {
    compared_.insert(name);
    const std::string key = tolerances_.contains(name) ? name : "out";
    const double tolerance =
        json_get<double>(tolerances_, key, golden_.name + ": tolerance", ErrorKind::data);
    report_.compare(golden_, label_ + " " + name, actual, golden_.tensor(name), tolerance);
  }

  const GoldenCase& golden_;
  Report& report_;
  at::ScalarType type_;
  std::string kind_, label_;
  Json tolerances_;
  TokenOrder order_;
  std::shared_ptr<AttentionImpl> module_;
  at::Tensor q_, k_, v_;
  std::set<std::string> compared_;
};

}  // namespace

void run_attention_case(const GoldenCase& golden, Report& report) {
  const std::vector<GoldenModule> rows = find_golden_modules(golden.module);
  if (rows.empty()) throw Error(ErrorKind::data, concat(golden.name, ": no module ", quoted(golden.module)));
  for (const GoldenModule& row : rows) {
    CaseRun(row, golden, report, at::kDouble).run();
    CaseRun(row, golden, report, at::kFloat).run();
  }
}

}  // namespace lotformer::test
