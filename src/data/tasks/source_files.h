// SPDX-License-Identifier: MIT
// Reading source files: never outside their folder, never more than expected; and the digest by which a
// cache knows its sources again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace lotformer::data {

/// `name` for a message: as it is, or escaped and in quotes when it holds control or non-ASCII bytes.
std::string printable(std::string_view name);

/// What macOS leaves in folders that it copies: `.DS_Store`, `._NAME`, `__MACOSX`.
bool is_macos_dropping(std::string_view name);

/// Counts them in one folder; they are passed over, and the destructor says so in one line of the log.
class Droppings {
 public:
  /// `folder`: its name in the message.
  explicit Droppings(std::string folder) : folder_(std::move(folder)) {}
  ~Droppings();
  Droppings(const Droppings&) = delete;
  Droppings& operator=(const Droppings&) = delete;
  /// Whether `name` is one of them.
  bool take(const std::string& name);

 private:
  std::string folder_, first_;
  int64_t count_ = 0;
};

/// DataError (line 1 of the file `name`) when its first bytes are a byte order mark: editors put it there,
/// nobody sees it, and it would be a part of the first column.
void refuse_byte_order_mark(std::string_view first_bytes, const std::string& name);

/// Collects what a cache depends on.
class SourceIdentity {
 public:
  explicit SourceIdentity(std::string reader) : text_(std::move(reader)) {}
  void add(std::string_view text);
  /// Name, size and modification time. DataError that calls the file `prefix` + `name` when it is absent.
  void add_file(const std::filesystem::path& directory, const std::string& name, const std::string& prefix);
  std::string digest() const;

 private:
  std::string text_;
};

/// A regular file that is open for reading. Readers get it instead of a path, so that what was checked is
/// what is read.
class SourceFile {
 public:
  /// Takes over `fd`; `name` is the file's name in messages. DataError when it is no regular file.
  SourceFile(int fd, std::string name);
  ~SourceFile();
  SourceFile(SourceFile&& other) noexcept;
  SourceFile& operator=(SourceFile&&) = delete;
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;
  const std::string& name() const { return name_; }
  /// Bytes, when it was opened.
  int64_t size() const { return size_; }
  /// Up to `size` next bytes; fewer only at the end of the file. DataError: read error.
  size_t read(void* bytes, size_t size);
  /// Tells the kernel that the file will be read from front to back.
  void expect_sequential() const;

 private:
  int fd_;
  std::string name_;
  int64_t size_ = 0;
};

/// Where links may lead: below the folder they lie in, or out of it, too (`data.follow_links`).
enum class Links { inside, anywhere };

/// Opens files below one folder. A link is followed only when its target lies below that folder too, unless
/// links may lead anywhere.
class FileFence {
 public:
  /// `prefix` is put before names in errors.
  FileFence(const std::filesystem::path& directory, std::string prefix, Links links = Links::inside);
  /// The file `name` (relative to the folder). DataError: not found, outside, no regular file.
  SourceFile open(const std::string& name);
  /// DataError when the folder `name` lies outside by a link, or is not there.
  void require_folder(const std::string& name) { require_inside(directory_ / name, name); }
  /// The whole file `name` (relative to the folder) into `bytes`. DataError: not found, outside, no regular
  /// file, more than `max_bytes` bytes, read error.
  void read(const std::string& name, int64_t max_bytes, std::string& bytes);
  const std::string& prefix() const { return prefix_; }

 private:
  bool is_inside(const std::filesystem::path& path) const;
  void require_inside(const std::filesystem::path& parent, const std::string& name);
  int open_inside(const std::string& name);
  std::filesystem::path directory_, canonical_;
  std::string prefix_;
  Links links_;
  std::string last_parent_;  // the folder that was found inside last: files come in runs
};

}  // namespace lotformer::data
