// SPDX-License-Identifier: MIT
#include "train/run/checkpoint.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include "lotformer/core/file_system.h"
#include "lotformer/core/safetensors.h"
#include "train/checkpoint_support.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;
using test::contains;
using test::exit_code_with_file_limit;
using test::flip_bit;
using test::message_of;
using test::TemporaryFolder;
using test::write_step;

const std::vector<std::string> kFiles = {kManifestFile, kModelFile, kOptimizerFile, kStateFile};

TEST_CASE("tensor file: every dtype, shape and stride comes back bit for bit") {
  const TemporaryFolder folder("tensors");
  const fs::path path = folder.path() / "t.safetensors";
  NamedTensors tensors;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                                    at::kShort, at::kChar, at::kByte, at::kBool}) {
    tensors.emplace_back(c10::toString(type), at::arange(6).reshape({2, 3}).to(type));
  }
  tensors.emplace_back("odd", at::full({3}, 1).to(at::kByte));
  tensors.emplace_back("scalar", at::full({}, -0.0));
  tensors.emplace_back("empty", at::full({3, 0, 2}, 1.0));
  tensors.emplace_back("not finite", at::full({2}, std::numeric_limits<double>::quiet_NaN()));
  tensors.emplace_back("transposed", at::randn({3, 4}).t());
  tensors.emplace_back("strided", at::randn({9}).slice(0, 1, 9, 3));
  tensors.emplace_back("with gradient", at::randn({2}).requires_grad_());
  const FileDigest digest = write_tensors(path, tensors, {{"format", "pt"}});
  CHECK(digest.bytes == static_cast<int64_t>(fs::file_size(path)));
  CHECK(SafetensorsFile(path, ErrorKind::data).metadata().at("format") == "pt");

  const TensorMap read = read_tensors(path, ErrorKind::data);
  REQUIRE(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    const at::Tensor& found = read.at(name);
    CHECK(found.scalar_type() == tensor.scalar_type());
    REQUIRE(found.sizes() == tensor.sizes());
    CHECK_FALSE(found.requires_grad());
    const at::Tensor wanted = tensor.detach().contiguous();
    CHECK((found.nbytes() == 0 ||
           std::memcmp(found.const_data_ptr(), wanted.const_data_ptr(), wanted.nbytes()) == 0));
  }
  const SafetensorsFile file(path, ErrorKind::data);
  const uint8_t* base = file.tensor("Double").data.data();
  for (const auto& [name, view] : file.tensors()) {
    INFO(name);
    CHECK((view.data.data() - base) % safetensors_element_size(view.dtype) == 0);
  }
  // Equal values, equal bytes.
  const std::string first = read_file(path, ErrorKind::data);
  CHECK(write_tensors(path, tensors, {{"format", "pt"}}).xxh3_128 == digest.xxh3_128);
  CHECK(read_file(path, ErrorKind::data) == first);
}

TEST_CASE("tensor file: what cannot be stored or read is named") {
  const TemporaryFolder folder("tensors");
  const fs::path path = folder.path() / "t.safetensors";
  CHECK(contains(message_of(ErrorKind::internal,
                            [&] {
                              write_tensors(path, {{"a", at::Tensor()}});
                            }),
                 "'a'"));
  CHECK(contains(message_of(ErrorKind::internal,
                            [&] {
                              write_tensors(path, {{"c", at::full({1}, 1.0).to(at::kComplexFloat)}});
                            }),
                 "ComplexFloat"));
  const at::Tensor one = at::full({1}, 1.0);
  CHECK(contains(message_of(ErrorKind::internal,
                            [&] {
                              write_tensors(path, {{"a", one}, {"a", one}});
                            }),
                 "'a'"));
  CHECK(contains(message_of(ErrorKind::disk,
                            [&] {
                              write_tensors(folder.path() / "no" / "t", {{"a", one}});
                            }),
                 "no/t"));
  CHECK(
      contains(message_of(ErrorKind::data, [&] { read_tensors(folder.path() / "absent", ErrorKind::data); }),
               "absent"));
}

TEST_CASE("checkpoint: round trip") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "deep" / "step-00000007";
  const at::Tensor weight = at::randn({4, 5});
  const at::Tensor step = at::full({}, 7, at::TensorOptions().dtype(at::kLong));
  const Json state = {
      {"step", 7}, {"lr", 0.1}, {"best", {{"step", 3}, {"accuracy", 0.5}}}, {"text", "\xc3\xa9\n"}};
  write_checkpoint(path, {{"w", weight}}, {{"w.step", step}}, state);
  CHECK(test::names_in(path) == kFiles);
  CHECK(test::names_in(folder.path() / "deep") == std::vector<std::string>{"step-00000007"});

  const Checkpoint read = read_checkpoint(path);
  CHECK(read.path == path);
  CHECK(read.step == 7);
  CHECK(read.state == state);
  CHECK(best_step(read.state, "state") == 3);
  CHECK(at::equal(read.model.at("w"), weight));
  CHECK(at::equal(read.optimizer.at("w.step"), step));
  CHECK_FALSE(checkpoint_problem(path).has_value());
}

TEST_CASE("checkpoint: an existing one of the same name is replaced, and nothing is left over") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "step-00000001";
  write_step(path, 1);
  fs::remove(path / kStateFile);  // damaged
  write_step(path, 2);
  CHECK(read_checkpoint(path).step == 2);
  CHECK(test::names_in(folder.path()) == std::vector<std::string>{"step-00000001"});
}

TEST_CASE("checkpoint: every single flipped bit of every file is found and named") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "step-00000001";
  write_step(path, 1, {{"step", 1}, {"accuracy", 0.25}}, 2);
  for (const std::string& file : kFiles) {
    const size_t bits = 8 * fs::file_size(path / file);
    size_t missed = 0, unnamed = 0;
    for (size_t bit = 0; bit < bits; ++bit) {
      flip_bit(path / file, bit);
      const std::optional<std::string> problem = checkpoint_problem(path);
      missed += !problem.has_value();
      // Damage of the manifest may show as another file that does not fit it.
      unnamed += problem && !contains(*problem, file == kManifestFile ? "manifest" : file);
      flip_bit(path / file, bit);
    }
    INFO(file << ", " << bits << " bits");
    CHECK(missed == 0);
    CHECK(unnamed == 0);
  }
  CHECK_FALSE(checkpoint_problem(path).has_value());
}

TEST_CASE("checkpoint: missing, cut, grown, emptied and replaced files are named") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "step-00000001";
  for (const std::string& file : kFiles) {
    INFO(file);
    const fs::path target = path / file;
    const auto problem_after = [&](const std::function<void()>& damage) {
      fs::remove_all(path);
      write_step(path, 1);
      damage();
      return checkpoint_problem(path).value_or("accepted");
    };
    CHECK(contains(problem_after([&] { fs::remove(target); }), target.string() + ": is missing"));
    if (file == kManifestFile) continue;
    const std::string damaged = target.string() + ": has ";
    CHECK(contains(problem_after([&] { fs::resize_file(target, fs::file_size(target) - 1); }), damaged));
    CHECK(contains(problem_after([&] { fs::resize_file(target, fs::file_size(target) + 1); }), damaged));
    CHECK(contains(problem_after([&] { fs::resize_file(target, 0); }),
                   target.string() + ": has 0 bytes, the manifest wants "));
    CHECK(contains(problem_after([&] {
                     fs::remove(target);
                     fs::create_directory(target);
                   }),
                   target.string() + ": is not a regular file"));
  }
  CHECK(contains(checkpoint_problem(folder.path() / "absent").value_or(""), "absent: no such checkpoint"));
  CHECK(contains(checkpoint_problem(path / kModelFile).value_or(""), "is not a folder"));
}

TEST_CASE("checkpoint: a manifest of another format is refused with its reason") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "step-00000001", manifest = path / kManifestFile;
  write_step(path, 1);
  const Json good = read_json(manifest, ErrorKind::internal);
  const auto problem_of = [&](const std::string& text) {
    write_atomic(manifest, text);
    return checkpoint_problem(path).value_or("accepted");
  };
  const auto edited = [&](const std::string& pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return problem_of(to_pretty_text(json));
  };
  CHECK(contains(problem_of(""), "not valid JSON"));
  CHECK(contains(problem_of("[]"), "'format' is missing"));
  CHECK(contains(problem_of(std::string(2 << 20, ' ')), "at most"));
  CHECK(contains(edited("/format", "other"), "'format' is not 'lotformer-checkpoint'"));
  CHECK(contains(edited("/version", 2), "format version 2 is not supported, this program reads 1"));
  CHECK(contains(edited("/version", "one"), "format version \"one\" is not supported"));
  CHECK(contains(edited("/files", nullptr), "'model.safetensors' is missing"));
  CHECK(contains(edited("/files/state.json/bytes", 1.5),
                 "state.json: 'bytes' is missing or not a whole number"));
  CHECK(contains(edited("/files/state.json/bytes", -1), "the manifest wants -1"));
  CHECK(contains(edited("/files/state.json/xxh3_128", 3), "'xxh3_128' has the wrong type"));
  CHECK(contains(edited("/files/state.json/xxh3_128", "x\ny"), "the manifest wants 'x"));
  CHECK(problem_of(to_pretty_text(good)) == "accepted");
}

TEST_CASE("checkpoint: states without a step or with a malformed best are refused") {
  const TemporaryFolder folder("checkpoint");
  const fs::path path = folder.path() / "step-00000001";
  CHECK(contains(message_of(ErrorKind::internal, [&] { write_checkpoint(path, {}, {}, Json::object()); }),
                 "'step'"));
  for (const Json& best : {Json(3), Json({{"step", -1}}), Json({{"accuracy", 1}})}) {
    write_checkpoint(path, {}, {}, {{"step", 1}, {"best", best}});
    CHECK(contains(message_of(ErrorKind::checkpoint, [&] { read_checkpoint(path); }), "state.json: best: "));
  }
  write_checkpoint(path, {}, {}, {{"step", 1}});
  CHECK_FALSE(best_step(read_checkpoint(path).state, "state").has_value());
}

TEST_CASE("checkpoint: a write that fails at any file is a disk error and leaves everything as it was") {
  const TemporaryFolder folder("checkpoint");
  const fs::path first = folder.path() / "step-00000001", second = folder.path() / "step-00000002";
  write_step(first, 1);
  const at::Tensor small = at::full({16}, 1.0), large = at::full({4096}, 1.0);
  const std::string text(20000, 'x');
  const auto write = [](const fs::path& path, const at::Tensor& model, const at::Tensor& moment,
                        const std::string& note) {
    write_checkpoint(path, {{"w", model}}, {{"m", moment}}, {{"step", 2}, {"note", note}});
  };
  constexpr int kDisk = 5;
  for (const fs::path& target : {second, first}) {  // a new one, and a replacement
    CHECK(exit_code_with_file_limit(10000, [&] { write(target, large, small, ""); }) == kDisk);
    CHECK(exit_code_with_file_limit(10000, [&] { write(target, small, large, ""); }) == kDisk);
    CHECK(exit_code_with_file_limit(10000, [&] { write(target, small, small, text); }) == kDisk);
    CHECK(exit_code_with_file_limit(200, [&] { write_checkpoint(target, {}, {}, {{"step", 2}}); }) == kDisk);
    CHECK(test::names_in(folder.path()) == std::vector<std::string>{"step-00000001"});
    CHECK(read_checkpoint(first).step == 1);
  }
  CHECK(exit_code_with_file_limit(100000, [&] { write(second, small, large, text); }) == 0);
  CHECK(read_checkpoint(second).step == 2);
}

}  // namespace
}  // namespace lotformer
