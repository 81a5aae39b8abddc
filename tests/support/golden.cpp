// SPDX-License-Identifier: MIT
#include "support/golden.h"

#include <ATen/ATen.h>

#include <cstdlib>
#include <cstring>
#include <sstream>

#include "lotformer/core/text.h"

namespace lotformer::test {
namespace {

at::ScalarType scalar_type(const std::string& dtype, const std::string& where) {
  if (dtype == "F64") return at::kDouble;
  if (dtype == "F32") return at::kFloat;
  if (dtype == "I64") return at::kLong;
  throw Error(ErrorKind::data, concat(where, ": dtype ", dtype, ", expected F64, F32 or I64"));
}

std::string plural(int64_t count, const std::string& noun) {
  return concat(count, " ", noun, count == 1 ? "" : "s");
}

std::string place_of(const at::Tensor& errors) {
  int64_t flat = errors.argmax().item<int64_t>();
  std::vector<std::string> index;
  for (int64_t d = errors.dim() - 1; d >= 0; --d) {
    index.insert(index.begin(), std::to_string(flat % errors.size(d)));
    flat /= errors.size(d);
  }
  return "[" + join(index, ", ") + "]";
}

}  // namespace

GoldenCase::GoldenCase(const Json& entry, const std::filesystem::path& folder) {
  const std::string where = folder / "index.json";
  name = json_get<std::string>(entry, "name", where, ErrorKind::data);
  module = json_get<std::string>(entry, "module", name, ErrorKind::data);
  family = json_get<std::string>(entry, "family", name, ErrorKind::data);
  hyperparameters = json_get<Json>(entry, "hyperparameters", name, ErrorKind::data);
  tolerance = json_get<Json>(entry, "tolerance", name, ErrorKind::data);
  if (entry.contains("gradients")) {
    gradients = json_get<std::vector<std::string>>(entry, "gradients", name, ErrorKind::data);
  }
  file_ = std::make_shared<SafetensorsFile>(
      folder / json_get<std::string>(entry, "file", name, ErrorKind::data), ErrorKind::data);
}

at::Tensor GoldenCase::tensor(const std::string& tensor_name) const {
  const TensorView& view = file_->tensor(tensor_name);
  at::Tensor result = at::empty(view.shape, scalar_type(view.dtype, name + ": " + tensor_name));
  if (!view.data.empty()) std::memcpy(result.data_ptr(), view.data.data(), view.data.size());
  return result;
}

std::vector<std::string> GoldenCase::tensor_names() const {
  std::vector<std::string> names;
  for (const auto& [key, view] : file_->tensors()) names.push_back(key);
  return names;
}

std::filesystem::path golden_folder() {
  const char* redirected = std::getenv("LOTFORMER_GOLDEN_DIR");
  if (!redirected || !*redirected) return std::filesystem::path(LOTFORMER_TEST_DATA) / "golden";
  const std::filesystem::path folder = redirected;
  if (!folder.is_absolute()) {
    throw Error(ErrorKind::usage, concat("LOTFORMER_GOLDEN_DIR: '", redirected, "' is not an absolute path"));
  }
  return folder;
}

std::vector<GoldenCase> read_golden(const std::filesystem::path& folder) {
  const Json index = read_json(folder / "index.json", ErrorKind::data);
  const std::string where = folder / "index.json";
  const Json entries = json_get<Json>(index, "cases", where, ErrorKind::data);
  if (!entries.is_array() || entries.empty()) {
    throw Error(ErrorKind::data, where + ": 'cases' lists no case; an array of at least one is expected");
  }
  std::vector<GoldenCase> cases;
  for (const Json& entry : entries) cases.emplace_back(entry, folder);
  return cases;
}

void Report::compare(const GoldenCase& golden, const std::string& what, const at::Tensor& actual,
                     const at::Tensor& expected, double tolerance) {
  families_[golden.module + "/" + golden.family].tensors += 1;
  if (!actual.defined()) return fail(golden, what + ": nothing was computed");
  if (actual.sizes() != expected.sizes()) {
    std::ostringstream message;
    message << what << ": shape " << actual.sizes() << ", expected " << expected.sizes();
    return fail(golden, message.str());
  }
  if (expected.numel() == 0) return;
  const at::Tensor want = expected.to(at::kDouble);
  const at::Tensor got = actual.detach().to(at::kCPU, at::kDouble);
  const at::Tensor errors = (got - want).abs().nan_to_num(HUGE_VAL, HUGE_VAL, HUGE_VAL);
  const double worst = errors.max().item<double>();
  if (worst <= tolerance) return;
  const int64_t flat = errors.argmax().item<int64_t>();
  fail(golden,
       concat(what, ": error ", worst, " at ", place_of(errors), " (got ", got.flatten()[flat].item<double>(),
              ", expected ", want.flatten()[flat].item<double>(), "), tolerance ", tolerance));
}

void Report::fail(const GoldenCase& golden, const std::string& message) {
  failures_.push_back(golden.name + ": " + message);
}

void Report::finish_case(const GoldenCase& golden) {
  families_[golden.module + "/" + golden.family].cases += 1;
}

std::string Report::summary() const {
  std::ostringstream out;
  Family all;
  for (const auto& [name, family] : families_) {
    out << name << ": " << plural(family.cases, "case") << ", " << plural(family.tensors, "tensor") << "\n";
    all.cases += family.cases;
    all.tensors += family.tensors;
  }
  out << "in all: " << plural(all.cases, "case") << ", " << plural(all.tensors, "tensor") << "\n";
  return out.str();
}

}  // namespace lotformer::test
