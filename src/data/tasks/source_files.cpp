// SPDX-License-Identifier: MIT
#include "data/tasks/source_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;

std::string printable(std::string_view name) {
  const auto good = [](char c) { return c >= 0x20 && c < 0x7f; };
  const bool plain = name.size() <= 200 && std::all_of(name.begin(), name.end(), good);
  return plain ? std::string(name) : quoted(name, 200);
}

bool is_macos_dropping(std::string_view name) {
  return name == ".DS_Store" || name == "__MACOSX" || name.starts_with("._");
}

Droppings::~Droppings() {
  if (count_ == 0) return;
  log::info(concat(folder_, ": ", count_, count_ == 1 ? " file" : " files", " that macOS left there (",
                   first_, ") ", count_ == 1 ? "is" : "are", " passed over"));
}

bool Droppings::take(const std::string& name) {
  if (!is_macos_dropping(name)) return false;
  const std::string shown = printable(name);
  if (count_++ == 0 || shown < first_) first_ = shown;
  return true;
}

void refuse_byte_order_mark(std::string_view first_bytes, const std::string& name) {
  if (first_bytes.starts_with("\xEF\xBB\xBF"))
    throw DataError::at_line(name, 1,
                             "begins with a byte order mark (EF BB BF); save the file as UTF-8 without it");
  if (first_bytes.starts_with("\xFF\xFE") || first_bytes.starts_with("\xFE\xFF"))
    throw DataError::at_line(name, 1, "begins with a byte order mark of UTF-16; save the file as UTF-8");
}

namespace {

constexpr const char* kAllowed = " (data.follow_links: true reads it all the same)";

std::string unreadable(int error) {
  if (error == ENOENT || error == ENOTDIR) return "not found";
  return concat("cannot be read: ", std::strerror(error));
}

}  // namespace

void SourceIdentity::add(std::string_view text) {
  text_ += '\n';
  text_ += text;
}

void SourceIdentity::add_file(const fs::path& directory, const std::string& name, const std::string& prefix) {
  struct stat info {};
  if (::stat((directory / name).c_str(), &info) != 0)
    throw DataError::at_file(prefix + name, unreadable(errno));
  add(concat(name, " ", info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec));
}

std::string SourceIdentity::digest() const {
  return hash_bytes(text_);
}

SourceFile::SourceFile(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    throw DataError::at_file(name_, "is not a regular file");
  }
  size_ = info.st_size;
}

SourceFile::~SourceFile() {
  if (fd_ >= 0) ::close(fd_);
}

SourceFile::SourceFile(SourceFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)), size_(other.size_) {}

size_t SourceFile::read(void* bytes, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        uninterrupted([&] { return ::read(fd_, static_cast<char*>(bytes) + done, size - done); });
    if (got < 0) throw DataError::at_file(name_, concat("read error: ", std::strerror(errno)));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

void SourceFile::expect_sequential() const {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

FileFence::FileFence(const fs::path& directory, std::string prefix, Links links)
    : directory_(directory),
      canonical_(fs::weakly_canonical(directory)),
      prefix_(std::move(prefix)),
      links_(links) {}

bool FileFence::is_inside(const fs::path& path) const {
  if (links_ == Links::anywhere) return true;
  const auto [end, ignored] = std::mismatch(canonical_.begin(), canonical_.end(), path.begin(), path.end());
  return end == canonical_.end();
}

void FileFence::require_inside(const fs::path& parent, const std::string& name) {
  if (parent.native() == last_parent_) return;
  std::error_code code;
  const fs::path real = fs::canonical(parent, code);
  if (code) throw DataError::at_file(prefix_ + name, unreadable(code.value()));
  if (!is_inside(real))
    throw DataError::at_file(prefix_ + name,
                             concat("its path leaves the data directory by a link", kAllowed));
  last_parent_ = parent.native();
}

int FileFence::open_inside(const std::string& name) {
  fs::path path = directory_ / name;
  require_inside(path.parent_path(), name);
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a pipe must not hold us up
  int fd = open_uninterrupted(path, kFlags | O_NOFOLLOW);
  if (fd < 0 && errno == ELOOP) {
    std::error_code code;
    path = fs::canonical(path, code);
    if (code) throw DataError::at_file(prefix_ + name, "is a link that leads nowhere: " + code.message());
    if (!is_inside(path))
      throw DataError::at_file(prefix_ + name,
                               concat("is a link whose path leaves the data directory", kAllowed));
    fd = open_uninterrupted(path, kFlags | O_NOFOLLOW);
  }
  if (fd < 0) throw DataError::at_file(prefix_ + name, unreadable(errno));
  return fd;
}

SourceFile FileFence::open(const std::string& name) {
  return {open_inside(name), prefix_ + name};
}

void FileFence::read(const std::string& name, int64_t max_bytes, std::string& bytes) {
  SourceFile file = open(name);
  if (file.size() > max_bytes)
    throw DataError::at_file(file.name(),
                             concat("has ", file.size(), " bytes, at most ", max_bytes, " are accepted"));
  bytes.resize(static_cast<size_t>(file.size()));
  if (file.read(bytes.data(), bytes.size()) != bytes.size())
    throw DataError::at_file(file.name(), "it changed while it was read");
}

}  // namespace lotformer::data
