// SPDX-License-Identifier: MIT
// Golden cases: `index.json` plus one .safetensors file a case (format: tests/data/golden/README.md). Include
// before support/catch.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lotformer/core/json.h"
#include "lotformer/core/safetensors.h"

namespace lotformer::test {

/// One case of the index. Errors of format or content are Error(data) that name the case.
class GoldenCase {
 public:
  GoldenCase(const Json& entry, const std::filesystem::path& folder);

  std::string name, module, family;
  Json hyperparameters;
  Json tolerance;
  /// "grad_q", ...; empty when the case lists none.
  std::vector<std::string> gradients;

  bool has(const std::string& tensor) const { return file_->contains(tensor); }
  /// A copy of the stored tensor in its stored dtype; Error(data) when it is absent.
  at::Tensor tensor(const std::string& tensor_name) const;
  std::vector<std::string> tensor_names() const;

  /// Hyperparameter `key` as T; Error(data) when it is absent or of another type.
  template <class T>
  T parameter(const std::string& key) const {
    return json_get<T>(hyperparameters, key, name + ": hyperparameters", ErrorKind::data);
  }

 private:
  std::shared_ptr<SafetensorsFile> file_;
};

/// $LOTFORMER_GOLDEN_DIR (must be absolute) or the copy in tests/data/golden.
std::filesystem::path golden_folder();

/// All cases of `folder`/index.json in order. Error(data) for an empty index, a case without its file, a
/// malformed entry.
std::vector<GoldenCase> read_golden(const std::filesystem::path& folder);

/// What was compared, by family ("lotformer/exact"). One object for a walk over all cases.
class Report {
 public:
  /// Counts one tensor; a failure is recorded with the largest error and its place. NaN never passes.
  void compare(const GoldenCase& golden, const std::string& what, const at::Tensor& actual,
               const at::Tensor& expected, double tolerance);
  /// A check that is not a comparison of tensors.
  void fail(const GoldenCase& golden, const std::string& message);
  void finish_case(const GoldenCase& golden);

  const std::vector<std::string>& failures() const { return failures_; }
  /// A line a family, `lotformer/exact: 7 cases, 84 tensors`, and the total.
  std::string summary() const;

 private:
  struct Family {
    int64_t cases = 0, tensors = 0;
  };
  std::map<std::string, Family> families_;
  std::vector<std::string> failures_;
};

}  // namespace lotformer::test
