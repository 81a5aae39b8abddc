// SPDX-License-Identifier: MIT
#include "tensor_file.h"

#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/safetensors.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

struct DtypeName {
  at::ScalarType type;
  std::string_view name;
};

constexpr DtypeName kDtypes[] = {{at::kDouble, "F64"},    {at::kFloat, "F32"}, {at::kHalf, "F16"},
                                 {at::kBFloat16, "BF16"}, {at::kLong, "I64"},  {at::kInt, "I32"},
                                 {at::kShort, "I16"},     {at::kChar, "I8"},   {at::kByte, "U8"},
                                 {at::kBool, "BOOL"}};

std::string dtype_name(const std::string& name, const at::Tensor& tensor) {
  if (tensor.defined()) {
    for (const auto& [type, text] : kDtypes) {
      if (type == tensor.scalar_type()) return std::string(text);
    }
  }
  throw Error(ErrorKind::internal,
              concat("write_tensors: tensor ", lotformer::quoted(name), " cannot be stored: ",
                     tensor.defined() ? c10::toString(tensor.scalar_type()) : "undefined"));
}

}  // namespace

FileDigest write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                         const std::map<std::string, std::string>& metadata) {
  NamedTensors values;  // keeps the memory of the views alive
  std::vector<std::pair<std::string, TensorView>> views;
  for (const auto& [name, tensor] : tensors) {
    const std::string dtype = dtype_name(name, tensor);
    values.emplace_back(name, tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& value = values.back().second;
    views.emplace_back(name,
                       TensorView{dtype,
                                  value.sizes().vec(),
                                  {static_cast<const uint8_t*>(value.const_data_ptr()), value.nbytes()}});
  }
  // Larger elements first: torch's own loader reinterprets a mapped file in place and needs each tensor
  // aligned to its element.
  std::stable_sort(views.begin(), views.end(), [](const auto& a, const auto& b) {
    return safetensors_element_size(a.second.dtype) > safetensors_element_size(b.second.dtype);
  });
  FileWriter writer(path);
  Hasher hasher;
  const auto put = [&](std::string_view bytes) {
    hasher.update(bytes);
    writer.write(bytes);
  };
  put(safetensors_header(views, metadata));
  for (const auto& [name, view] : views)
    put({reinterpret_cast<const char*>(view.data.data()), view.data.size()});
  const int64_t bytes = writer.position();
  writer.commit();
  return {bytes, hasher.digest()};
}

TensorMap parse_tensors(std::span<const uint8_t> bytes, const std::string& name, ErrorKind kind) {
  TensorMap result;
  for (const auto& [key, view] : parse_safetensors(bytes, name, kind).tensors) {
    const DtypeName* dtype = nullptr;
    for (const DtypeName& candidate : kDtypes) {
      if (candidate.name == view.dtype) dtype = &candidate;
    }
    if (dtype == nullptr) {
      throw Error(kind, concat(name, ": tensor ", lotformer::quoted(key), " has dtype ", view.dtype,
                               ", which is not supported"));
    }
    at::Tensor tensor = at::empty(view.shape, at::TensorOptions().dtype(dtype->type));
    if (!view.data.empty()) std::memcpy(tensor.mutable_data_ptr(), view.data.data(), view.data.size());
    result.emplace(key, std::move(tensor));
  }
  return result;
}

TensorMap read_tensors(const std::filesystem::path& path, ErrorKind kind) {
  // Read, not mapped: a file cut short under a map would end the process with SIGBUS.
  const std::string bytes = read_file(path, kind);
  return parse_tensors({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path.string(), kind);
}

}  // namespace lotformer
