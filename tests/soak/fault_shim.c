// SPDX-License-Identifier: MIT
// Loaded before the C library's own functions (LD_PRELOAD): lets the k-th file-system call of a program below one folder fail as a disk,
// a signal or a full table of descriptors would make it fail. Calls elsewhere pass, and are not counted.
//   SOAK_ROOT     the folder
//   SOAK_KIND     EIO ENOSPC EINTR EMFILE (the call fails so), SHORT (a read or write moves half of its bytes), KILL (the process is
//                 killed before the call), TORN (killed after half of a write), NONE (calls are only counted)
//   SOAK_AT       number of the call, from 1
//   SOAK_FOR      how many applicable calls fail from there on (default 1; 0: all)
//   SOAK_LOG      file that receives a line for each injected fault and, at the end, "calls N"
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/// What a call does to the file system, which decides which faults it can have.
enum { READS = 1, WRITES = 2, OPENS = 4, MAKES = 8, SYNCS = 16, LOOKS = 32 };

static atomic_long calls;
static atomic_long injected;
static char root[PATH_MAX];
static size_t root_length;
static const char* kind = "NONE";
static const char* log_path;
static long at, span;

static void note(const char* text) {
  if (log_path == NULL) return;
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  (void)!syscall(SYS_write, fd, text, strlen(text));
  (void)!syscall(SYS_close, fd);
}

__attribute__((constructor)) static void begin(void) {
  const char* value = getenv("SOAK_ROOT");
  if (value != NULL && realpath(value, root) != NULL) root_length = strlen(root);
  if ((value = getenv("SOAK_KIND")) != NULL) kind = value;
  if ((value = getenv("SOAK_AT")) != NULL) at = atol(value);
  span = (value = getenv("SOAK_FOR")) != NULL ? atol(value) : 1;
  log_path = getenv("SOAK_LOG");
}

__attribute__((destructor)) static void end(void) {
  char line[64];
  if (root_length == 0) return;
  snprintf(line, sizeof line, "calls %ld\n", atomic_load(&calls));
  note(line);
}

static int below_root(const char* path) {
  return root_length > 0 && strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == 0);
}

static int path_is_ours(int folder, const char* path) {
  char place[PATH_MAX], link[64];
  if (path == NULL || root_length == 0) return 0;
  if (path[0] == '/') return below_root(path);
  if (folder == AT_FDCWD) return getcwd(place, sizeof place) != NULL && below_root(place);
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  const ssize_t got = syscall(SYS_readlinkat, AT_FDCWD, link, place, sizeof place - 1);
  if (got < 0) return 0;
  place[got] = 0;
  return below_root(place);
}

static int descriptor_is_ours(int fd) {
  return root_length > 0 && fd > 2 && path_is_ours(fd, "");
}

static int error_for(int what) {
  if (strcmp(kind, "EIO") == 0) return EIO;
  if (strcmp(kind, "ENOSPC") == 0) return what & (WRITES | MAKES) ? ENOSPC : 0;
  if (strcmp(kind, "EINTR") == 0) return what & (READS | WRITES | OPENS | SYNCS) ? EINTR : 0;
  if (strcmp(kind, "EMFILE") == 0) return what & OPENS ? EMFILE : 0;
  return 0;
}

/// 0: the call passes. An errno: it fails. -1: it moves half of its bytes. -2: half of its bytes, then the end.
static int verdict(int what, const char* name) {
  const long number = atomic_fetch_add(&calls, 1) + 1;
  if (at == 0 || number < at) return 0;
  int result = error_for(what);
  if (strcmp(kind, "SHORT") == 0 && what & (READS | WRITES) && !(what & (OPENS | MAKES | SYNCS))) result = -1;
  if (strcmp(kind, "TORN") == 0 && what == WRITES) result = -2;
  if (strcmp(kind, "KILL") == 0) result = -3;
  if (result == 0) return 0;
  if (span != 0 && atomic_fetch_add(&injected, 1) >= span) return 0;
  char line[128];
  snprintf(line, sizeof line, "fault %s in %s, call %ld\n", kind, name, number);
  note(line);
  if (result == -3) raise(SIGKILL);
  return result;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/// The rest of a call that cannot be shortened: it fails with the errno, or goes on.
#define FAIL_IF(condition, what, name)          \
  do {                                          \
    if (condition) {                            \
      const int outcome = verdict(what, name);  \
      if (outcome > 0) {                        \
        errno = outcome;                        \
        return -1;                              \
      }                                         \
    }                                           \
  } while (0)

#define OPEN(name)                                                                  \
  int name(const char* path, int flags, ...) {                                      \
    va_list list;                                                                   \
    va_start(list, flags);                                                          \
    const mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                                   \
    FAIL_IF(path_is_ours(AT_FDCWD, path), OPENS | (flags & O_CREAT ? MAKES : 0), #name); \
    return NEXT(name)(path, flags, mode);                                           \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                \
  int name(int folder, const char* path, int flags, ...) {                          \
    va_list list;                                                                   \
    va_start(list, flags);                                                          \
    const mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                                   \
    FAIL_IF(path_is_ours(folder, path), OPENS | (flags & O_CREAT ? MAKES : 0), #name); \
    return NEXT(name)(folder, path, flags, mode);                                   \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                     \
  FILE* name(const char* path, const char* mode) {                      \
    if (path_is_ours(AT_FDCWD, path)) {                                 \
      const int outcome = verdict(OPENS | (mode[0] == 'r' ? 0 : MAKES), #name); \
      if (outcome > 0) {                                                \
        errno = outcome;                                                \
        return NULL;                                                    \
      }                                                                 \
    }                                                                   \
    return NEXT(name)(path, mode);                                      \
  }
FOPEN(fopen)
FOPEN(fopen64)

DIR* opendir(const char* path) {
  if (path_is_ours(AT_FDCWD, path)) {
    const int outcome = verdict(OPENS, "opendir");
    if (outcome > 0) {
      errno = outcome;
      return NULL;
    }
  }
  return NEXT(opendir)(path);
}

/// Reads and writes: `size` becomes half where the verdict says so; the process ends after half a write that is torn.
#define MOVE(name, what, parameters, arguments, size)          \
  ssize_t name parameters {                                    \
    int outcome = 0;                                           \
    if (descriptor_is_ours(fd)) {                              \
      outcome = verdict(what, #name);                          \
      if (outcome > 0) {                                       \
        errno = outcome;                                       \
        return -1;                                             \
      }                                                        \
      if (outcome < 0 && size > 1) size /= 2;                  \
    }                                                          \
    const ssize_t moved = NEXT(name) arguments;                \
    if (outcome == -2) raise(SIGKILL);                         \
    return moved;                                              \
  }
MOVE(read, READS, (int fd, void* data, size_t size), (fd, data, size), size)
MOVE(pread, READS, (int fd, void* data, size_t size, off_t place), (fd, data, size, place), size)
MOVE(pread64, READS, (int fd, void* data, size_t size, off64_t place), (fd, data, size, place), size)
MOVE(write, WRITES, (int fd, const void* data, size_t size), (fd, data, size), size)
MOVE(pwrite, WRITES, (int fd, const void* data, size_t size, off_t place), (fd, data, size, place), size)
MOVE(pwrite64, WRITES, (int fd, const void* data, size_t size, off64_t place), (fd, data, size, place), size)
MOVE(writev, WRITES, (int fd, const struct iovec* data, int count), (fd, data, count), count)

#define DESCRIPTOR(name, what, parameters, arguments) \
  int name parameters {                               \
    FAIL_IF(descriptor_is_ours(fd), what, #name);     \
    return NEXT(name) arguments;                      \
  }
DESCRIPTOR(fsync, SYNCS | WRITES, (int fd), (fd))
DESCRIPTOR(fdatasync, SYNCS | WRITES, (int fd), (fd))
DESCRIPTOR(ftruncate, MAKES, (int fd, off_t size), (fd, size))
DESCRIPTOR(ftruncate64, MAKES, (int fd, off64_t size), (fd, size))
DESCRIPTOR(fstat, LOOKS, (int fd, struct stat* info), (fd, info))
DESCRIPTOR(fstat64, LOOKS, (int fd, struct stat64* info), (fd, info))

#define PATH_CALL(name, what, folder, path, parameters, arguments) \
  int name parameters {                                            \
    FAIL_IF(path_is_ours(folder, path), what, #name);              \
    return NEXT(name) arguments;                                   \
  }
PATH_CALL(mkdir, MAKES, AT_FDCWD, path, (const char* path, mode_t mode), (path, mode))
PATH_CALL(unlink, 0, AT_FDCWD, path, (const char* path), (path))
PATH_CALL(rmdir, 0, AT_FDCWD, path, (const char* path), (path))
PATH_CALL(unlinkat, 0, folder, path, (int folder, const char* path, int flags), (folder, path, flags))
PATH_CALL(rename, MAKES, AT_FDCWD, path, (const char* path, const char* to), (path, to))
PATH_CALL(renameat, MAKES, folder, path, (int folder, const char* path, int other, const char* to), (folder, path, other, to))
PATH_CALL(renameat2, MAKES, folder, path, (int folder, const char* path, int other, const char* to, unsigned flags),
          (folder, path, other, to, flags))
PATH_CALL(link, MAKES, AT_FDCWD, path, (const char* path, const char* to), (path, to))
PATH_CALL(symlink, MAKES, AT_FDCWD, to, (const char* path, const char* to), (path, to))
PATH_CALL(stat, LOOKS, AT_FDCWD, path, (const char* path, struct stat* info), (path, info))
PATH_CALL(stat64, LOOKS, AT_FDCWD, path, (const char* path, struct stat64* info), (path, info))
PATH_CALL(lstat, LOOKS, AT_FDCWD, path, (const char* path, struct stat* info), (path, info))
PATH_CALL(lstat64, LOOKS, AT_FDCWD, path, (const char* path, struct stat64* info), (path, info))
PATH_CALL(fstatat, LOOKS, folder, path, (int folder, const char* path, struct stat* info, int flags), (folder, path, info, flags))
PATH_CALL(fstatat64, LOOKS, folder, path, (int folder, const char* path, struct stat64* info, int flags), (folder, path, info, flags))
