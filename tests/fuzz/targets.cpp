// SPDX-License-Identifier: MIT
#include "targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "data/provenance.h"
#include "data/tasks/cifar_reader.h"
#include "data/tasks/listops_reader.h"
#include "data/tasks/pathfinder_metadata.h"
#include "data/tasks/png.h"
#include "data/tasks/retrieval_reader.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer::fuzz {
namespace {

/// Bytes as a file without a disk, for readers that want a file.
data::SourceFile memory_file(std::span<const uint8_t> bytes, const char* name) {
  const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      ::lseek(fd, 0, SEEK_SET) != 0)
    std::abort();
  return {fd, name};
}

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class Body>
void expect_data_error(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    demand(error.kind() == ErrorKind::data);
    demand(std::string_view(error.what()).find('\n') == std::string_view::npos);  // one line, always
  }
}

/// A set as a record may describe it, once a process: one file of 5 bytes, a folder with one file, and a file
/// beside the set, which a record must not reach.
class SmallSet {
 public:
  SmallSet() : root_(std::filesystem::temp_directory_path() / concat("lotformer-fuzz-", ::getpid())) {
    std::filesystem::create_directories(set() / "imgs");
    write_atomic(set() / "rows.tsv", "1234\n");
    write_atomic(set() / "imgs/0.png", "1234\n");
    write_atomic(root_ / "outside.tsv", "1234\n");
  }
  ~SmallSet() {
    std::error_code code;
    std::filesystem::remove_all(root_, code);
  }
  SmallSet(const SmallSet&) = delete;
  SmallSet& operator=(const SmallSet&) = delete;
  std::filesystem::path set() const { return root_ / "set"; }

 private:
  std::filesystem::path root_;
};

}  // namespace

void listops_tsv(std::span<const uint8_t> bytes) {
  for (const bool verify : {false, true}) {
    expect_data_error([&] {
      data::listops::read_rows(memory_file(bytes, "fuzz.tsv"), verify, [](const data::listops::Row& row) {
        demand(!row.tokens.empty() && row.label >= 0 && row.label <= 9 && row.depth >= 1);
      });
    });
  }
}

void retrieval_tsv(std::span<const uint8_t> bytes) {
  expect_data_error([&] {
    data::retrieval::read_pairs(memory_file(bytes, "fuzz.tsv"), [](const data::retrieval::Pair& pair) {
      demand((pair.label == 0 || pair.label == 1) && !pair.texts[0].empty() && !pair.texts[1].empty());
    });
  });
}

void cifar(std::span<const uint8_t> bytes) {
  expect_data_error([&] {
    data::cifar::read_records(memory_file(bytes, "fuzz.bin"), false, [](const data::cifar::Record& record) {
      demand(record.label >= 0 && record.label <= 9 && record.colours.size() == 3072);
    });
  });
}

void png(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> pixels(32 * 32);
  const std::string problem = data::decode_grey_png(text_of(bytes), 32, pixels);
  demand(problem.find('\n') == std::string::npos);
}

void metadata(std::span<const uint8_t> bytes) {
  expect_data_error([&] {
    data::pathfinder::parse_metadata(
        text_of(bytes), "metadata/0.npy", 0, [](const data::pathfinder::Image& image) {
          demand(image.label == 0 || image.label == 1);
          const std::string path = concat(image.folder, "/", image.file);
          demand(path[0] != '/' && concat("/", path, "/").find("/../") == std::string::npos);
        });
  });
}

void provenance(std::span<const uint8_t> bytes) {
  static const SmallSet files;
  Json record;
  expect_data_error([&] { record = data::parse_provenance(text_of(bytes), "SYNTHETIC.json"); });
  if (record.is_null()) return;
  demand(record.is_object());
  demand(data::origin_of(record, "text") == "synthetic");
  demand(to_line(record).find('\n') == std::string::npos);  // results hold it
  for (const bool contents : {false, true})
    expect_data_error([&] { data::check_files(record, files.set(), "", contents); });
}

}  // namespace lotformer::fuzz
